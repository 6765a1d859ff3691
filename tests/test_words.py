"""The closing lines: what each says, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from some_results import some_failure, some_result

from jobs.words import duration, fitted, summary_lines
from runner import Summary
from runner.tally import Tally


def lines(tally: Tally | None = None, **settings: Any) -> str:
    usual: dict[str, Any] = {
        "run": "out", "state": "finished", "rows": 1, "tally": tally or Tally(), "elapsed_s": 75.0
    }  # fmt: skip
    return "\n".join(summary_lines(Summary(**{**usual, **settings})))


def test_one_of_each_is_told_in_the_singular() -> None:
    tally = Tally(rows=1, requests=2, retries=1, truncated=1, unmetered_attempts=1)
    counts = dict.fromkeys(("total_tokens", "rows", "requests"), 1)
    before = {"cost": 1.0, "currency": "USD", "unmetered_attempts": 0, **counts}
    told = lines(tally, superseded=before)
    assert "1 retry" in told
    assert "  cut       1 answer was cut at the token limit" in told
    assert "  unmetered 1 attempt may be billed without known usage" in told
    assert "1 token more, paid for 1 answer no longer part of the output" in told


def test_the_time_is_of_this_start_and_of_all() -> None:
    assert "  time      1 min 15 s\n" in lines() + "\n"
    assert "  time      1 min 15 s since it was resumed, 2 h 1 min in all" in lines(
        elapsed_before_s=7200.0
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.4, "59 s"), (60, "1 min"), (3660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units_at_the_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "5/9 rows, 1 failed, 3 requests/s, 4 s left"),
        (42, "5/9 rows, 1 failed, 3 requests/s, 4 s left"),
        (41, "5/9 rows, 1 failed, 4 s left"),
        (20, "5/9 rows, 1 failed"),
        (3, "5/9 rows"),
    ],
)
def test_a_narrow_line_leaves_out_what_matters_least(width: int, line: str) -> None:
    parts = [(0, "5/9 rows"), (1, "1 failed"), (3, "3 requests/s"), (2, "4 s left")]
    assert fitted(parts, width) == line


def test_no_line_of_a_rehearsal_speaks_of_a_bill_as_if_it_were_one() -> None:
    tally = Tally()
    tally.add(some_result(cost=1.5))
    tally.add(some_failure(1))
    estimated = {"low": 1.0, "high": 2.0, "currency": "USD", "by": "measured"}
    before = {"rows": 3, "requests": 3, "unmetered_attempts": 0, "total_tokens": 9, "cost": 0.5,
              "currency": "USD"}  # fmt: skip
    rehearsal = Summary("run", "finished", 2, tally, 1.0, rehearsal=True, estimated=estimated,
                        killed_attempts=4, superseded=before)  # fmt: skip
    told = summary_lines(rehearsal)
    assert "  cost      1.5000 USD (made up, not billed)" in told
    assert (
        "  estimated 1.0000 to 2.0000 USD, rehearsed at 1.5000 USD (made up, not billed): within"
        in told
    )
    text = "\n".join(told)
    assert "1 attempt would be billed without known usage" in text
    assert "that would be billed too" in text
    assert "paid" not in text
    assert "may be billed" not in text
    assert rehearsal.to_json()["rehearsal"] is True
    real = "\n".join(summary_lines(replace(rehearsal, rehearsal=False)))
    assert "made up" not in real
    assert "billed 1.5000 USD: within" in real
    assert "rehearsal" not in replace(rehearsal, rehearsal=False).to_json()
