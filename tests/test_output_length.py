from __future__ import annotations

import pytest

from runner.errors import JobError
from runner.estimate.output_length import joined_sources, output_length, parse_output_tokens
from runner.estimate.prompt_reading import Kind
from runner.estimate.ranges import Range

PLAIN = Kind("m")


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("120", 120, 120), ("50:400", 50, 400), ("62.4", 62.4, 62.4), ("1,000:2_000", 1000, 2000)],
)
def test_a_length_is_given_as_a_mean_or_as_a_range(text: str, low: float, high: float) -> None:
    assert parse_output_tokens(text) == Range(low, high)


@pytest.mark.parametrize("text", ["", "many", "400:50", "-5", "1:2:3", "1e3", ":9"])
def test_anything_else_is_refused_naming_the_flag(text: str) -> None:
    with pytest.raises(JobError, match="--output-tokens"):
        parse_output_tokens(text)


def test_what_was_given_goes_before_everything_and_a_mean_gets_a_margin() -> None:
    limited = PLAIN._replace(max_tokens=300)
    found = output_length(limited, thinks=True, given=Range(100, 100))
    assert (found.completion.low, round(found.completion.high, 9)) == (90, 110)
    assert (found.thinking, found.assumed) == (None, False)
    assert "--output-tokens 100, a tenth either way" in found.source
    assert output_length(PLAIN, thinks=False, given=Range(5, 9)).completion == Range(5, 9)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (PLAIN._replace(max_tokens=300), "max_tokens"),
        (PLAIN._replace(max_completion_tokens=300), "max_completion_tokens"),
    ],
)
def test_a_ceiling_is_a_range_up_to_it(kind: Kind, name: str) -> None:
    found = output_length(kind, thinks=False, given=None)
    assert found.completion == Range(1, 300)
    assert f"{name}=300 is the ceiling" in found.source
    assert not found.assumed


def test_without_any_of_these_an_assumption_says_that_it_is_one() -> None:
    found = output_length(PLAIN, thinks=False, given=None)
    assert 0 < found.completion.low < found.completion.high
    assert "assumed" in found.source
    assert found.assumed


def test_thinking_is_counted_apart_and_only_the_answer_has_max_tokens() -> None:
    found = output_length(PLAIN._replace(max_tokens=300), thinks=True, given=None)
    assert found.thinking is not None
    assert found.completion == Range(1, 300) + found.thinking
    assert found.assumed
    budget = PLAIN._replace(max_tokens=300, thinking_budget=50)
    found = output_length(budget, thinks=True, given=None)
    assert found.thinking == Range(1, 50)
    assert found.completion == Range(2, 350)
    assert not found.assumed


def test_max_completion_tokens_holds_for_thinking_and_answer_together() -> None:
    found = output_length(PLAIN._replace(max_completion_tokens=500), thinks=True, given=None)
    assert found.completion.high == 500
    assert found.thinking is not None
    assert found.thinking.high == 500


def test_several_answers_to_a_prompt_are_all_counted() -> None:
    found = output_length(PLAIN._replace(max_tokens=10, choices=3), thinks=False, given=None)
    assert found.completion == Range(3, 30)
    assert "3 answers to each (n)" in found.source


def test_many_sources_are_cut_short() -> None:
    assert joined_sources(["a", "b", "a"]) == "a; or b"
    assert joined_sources("abcde") == "a; or b; or c; and 2 other ceilings"
