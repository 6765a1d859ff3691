from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from small_folder import Small
from some_results import some_result

from jobs.words import estimate_line
from runner.expected import Expected, remember
from runner.summary import Summary
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

LOOK = Expected(None, 1.0, 2.0, "USD", "nothing limits answers", measured=False)
PILOT = Expected(None, 1.4, 1.6, "USD", "measured", measured=True)
FIVE = replace(LOOK, first=5)


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ([LOOK], LOOK),
        ([LOOK, None], LOOK),
        ([LOOK, replace(LOOK, low=1.5)], LOOK),
        ([LOOK, PILOT], PILOT),
        ([PILOT, LOOK], PILOT),
        ([PILOT, replace(PILOT, low=1.5)], PILOT),
        ([FIVE, LOOK], LOOK),
    ],
)
def test_the_first_estimate_of_the_same_rows_holds_unless_a_measured_one_comes(
    tmp_path: Path, said: list[Expected | None], holds: Expected
) -> None:
    folder = Small(tmp_path / "run", rows=1).folder
    folder.prepare()
    assert remember(folder, None) is None
    found = [remember(folder, one) for one in said]
    assert found[-1] == remember(folder, None) == holds


def test_a_damaged_file_is_no_estimate(tmp_path: Path) -> None:
    folder = Small(tmp_path / "run", rows=1).folder
    folder.prepare()
    folder.estimate.write_text("{")
    assert remember(folder, None) is None


def finished(cost: float | None, *, state: str = "finished") -> Summary:
    tally = Tally()
    tally.add(some_result(cost=cost))
    return Summary("run", state, 1, tally, 1.0, estimated=PILOT.to_json())


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (1.5, "estimated 1.4000 to 1.6000 USD, billed 1.5000 USD: within"),
        (3.2, "billed 3.2000 USD: 100% above"),
        (0.7, "billed 0.700000 USD: 50% below"),
        (None, "what was billed is unknown"),
    ],
)
def test_estimate_and_bill_are_compared_at_the_end(cost: float | None, words: str) -> None:
    line = estimate_line(finished(cost))
    assert line is not None
    assert words in line
    assert finished(cost).to_json()["estimated"]["high"] == 1.6


def test_an_estimate_at_own_prices_is_compared_with_the_tokens_at_these() -> None:
    own = replace(PILOT, price_input=10_000.0, price_output=70_000.0)
    said = finished(0.000123)  # 22 tokens in and 18 out
    said.estimated = own.to_json()
    line = estimate_line(said)
    assert line is not None
    assert line.endswith(
        "1.4000 to 1.6000 USD, 1.4800 USD by its tokens, at your prices of 10000 in and 70000 out: "
        "within"
    )


def test_an_estimate_without_prices_of_ones_own_is_still_read(tmp_path: Path) -> None:
    folder = Small(tmp_path / "run", rows=1).folder
    folder.prepare()
    remember(folder, PILOT)
    kept = orjson.loads(folder.estimate.read_bytes())
    del kept["price_input"], kept["price_output"]
    folder.estimate.write_bytes(orjson.dumps(kept))
    assert remember(folder, None) == PILOT


def test_nothing_is_compared_before_the_end() -> None:
    assert estimate_line(finished(1.0, state="stopped")) is None
