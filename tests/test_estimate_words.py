from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.estimate_words import about, about_lines, report_lines
from runner import Estimate, Job, Range, estimate, first_look, prepare

if TYPE_CHECKING:
    from pathlib import Path

NEXT = "penstock generate x.csv"


@pytest.fixture
def path(tmp_path: Path) -> str:
    place = tmp_path / "x.csv"
    place.write_text('prompt\nhello\n水往低处流\n" "\n' + "word " * 300 + "\n", "utf-8")
    return str(place)


def told(found: Estimate) -> str:
    return "\n".join(report_lines(found, NEXT))


def test_the_last_line_is_the_next_command(path: str) -> None:
    assert report_lines(estimate(Job(), [path]), NEXT)[-1] == f"next      {NEXT}"


def test_it_says_what_is_known_what_is_assumed_and_where_it_came_from(path: str) -> None:
    text = told(estimate(Job(), [path]))
    assert "4 rows, 3 requests" in text
    assert "unsent    1 row: empty_prompt, as row 2" in text
    assert "tokens, exact" in text
    assert "assumed" in text
    assert "prices    of 2026-04, litellm" in text
    assert "cache     not assumed" in text
    assert "over the provider's batch interface, at 50% of the price" in text
    assert "what binds: requests" in text
    assert "10/s" in text
    assert "20/s" in text
    assert "above the account's limit" in text


def test_an_unknown_price_is_unknown_and_never_0(path: str) -> None:
    text = told(estimate(Job(), [path], models=["qwen-plus", "mine"]))
    [row] = [line for line in text.splitlines() if line.startswith("mine ") and "unknown" in line]
    assert "0.00" not in row
    assert "--price-input and --price-output give one" in text
    assert "estimated with qwen, for unknown, may err by 50% either way" in text or (
        "may err by 50% either way" in text
    )


def test_a_sample_is_told_with_what_its_ranges_hold(path: str) -> None:
    found = estimate(Job(), [path], sample=2)
    assert "sample    2 rows, spread evenly; ranges hold its error in 95 of 100 cases" in told(
        found
    )


def test_thinking_has_a_line_of_its_own(path: str) -> None:
    job = Job(params={"enable_thinking": True, "thinking_budget": 100, "max_tokens": 10})
    text = told(estimate(job, [path]))
    assert "thinking  3 to 300 of the 6 to 330 tokens out" in text
    assert "4 out when thinking" in text


def test_columns_of_figures_stand_under_their_heads(path: str) -> None:
    lines = report_lines(estimate(Job(), [path], models=["qwen-plus", "qwen3.7-plus"]), NEXT)
    at = next(at for at, line in enumerate(lines) if line.startswith("model"))
    for head in ("tokens in", "tokens out", "cost", "time"):
        place = lines[at].index(head)
        for row in lines[at + 1 : at + 3]:
            assert row[place - 1] == " "
            assert row[place] != " "


def test_before_a_run_every_figure_is_about(path: str) -> None:
    found = first_look(prepare(Job(), [path]))
    assert found is not None
    text = "\n".join(about_lines(found))
    assert "to ask: 4 rows, about" in text
    assert "cost: about" in text
    assert "time: about" in text
    assert "penstock estimate" in text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1234.5, 98765.4, "about 1,200 to 99,000 USD"),
        (0, 0.012345, "about 0 to 0.012 USD"),
        (10.04, 10.2, "about 10 USD"),
        (9.96, 9.96, "about 10 USD"),
    ],
)
def test_about_has_two_digits(low: float, high: float, text: str) -> None:
    assert about(Range(low, high), "USD") == text


def test_a_wide_range_names_the_pilot_that_would_narrow_it(path: str) -> None:
    found = estimate(Job(), [path])
    assert "would narrow" not in told(found)
    wide = replace(found, models=(replace(found.models[0], wider_pilot=1200),))
    assert "a pilot of 1,200 (--pilot 1200) would narrow the cost to about 1.5 to 1" in told(wide)
