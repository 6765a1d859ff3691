from __future__ import annotations

from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from runner.estimate import Answer
from runner.estimate.prompt_reading import Kind
from runner.records import Request, Usage
from runner.rehearsal_answers import Asked, as_measured, assumed

if TYPE_CHECKING:
    from runner.simulator import Planned


def request(row: int) -> Request:
    return Request(row, b"{}", f"{row % 256:02x}" + Random(row).randbytes(15).hex(), "m")


def answers(mean_tokens: float, *, choices: int = 1, most: int | None = None) -> list[Planned]:
    plan = assumed(
        lambda _: Asked(50, choices, most, Kind("m")),
        mean_tokens=mean_tokens,
        answer_s=lambda tokens: tokens / 100,
    )
    return [plan(request(row)) for row in range(256)]


def test_the_mean_answer_is_as_long_as_was_said_and_a_few_are_much_longer() -> None:
    found = answers(300)
    lengths = [one.usage.completion_tokens for one in found]
    assert fmean(lengths) == pytest.approx(300, rel=0.01)
    assert max(lengths) > 5 * 300
    assert [one.seconds for one in found] == [length / 100 for length in lengths]


def test_the_same_request_has_the_same_answer_each_time() -> None:
    assert answers(100) == answers(100)


def test_an_answer_that_would_be_longer_than_the_request_allows_is_cut() -> None:
    found = {(one.is_cut, one.usage.completion_tokens) for one in answers(100, most=120)}
    assert {tokens for is_cut, tokens in found if is_cut} == {120}
    assert max(tokens for is_cut, tokens in found if not is_cut) <= 120


def test_the_choices_of_a_request_are_written_at_the_same_time() -> None:
    one, four = answers(100), answers(400, choices=4)
    assert fmean(each.usage.completion_tokens for each in four) == pytest.approx(400, rel=0.1)
    # The longest of four takes twice as long as one, not four times.
    mean_s, longest_s = (fmean(each.seconds for each in found) for found in (one, four))
    assert 1.5 * mean_s < longest_s < 2.5 * mean_s
    for each in four:
        assert each.seconds * 100 <= each.usage.completion_tokens - 3


def test_each_choice_is_cut_at_its_own_bound() -> None:
    for each in answers(400, choices=4, most=480):
        assert each.seconds <= 1.2
        assert each.usage.completion_tokens <= 480


def measured_answer(counted: int, usage: Usage, latency_s: float) -> Answer:
    return Answer(Kind("m"), counted, usage, None, latency_s)


def test_measured_answers_come_back_with_their_own_lengths_and_times() -> None:
    known = [
        measured_answer(50, Usage(60, 100, 160, 30, 20), 1.5),
        measured_answer(50, Usage(60, 300, 360, 0, 0), 4.5),
    ]
    plan = as_measured(
        lambda _: Asked(500, 1, None, Kind("m")), known, mean_tokens=200, latency_s=None
    )
    found = {plan(request(row)) for row in range(256)}
    # Prompts as the provider counts them, and as much of them in the cache as was found there.
    assert {(one.usage, one.seconds, one.is_cut) for one in found} == {
        (Usage(600, 100, 700, 300, 20), 1.5, False),
        (Usage(600, 300, 900, 0, 0), 4.5, False),
    }
    longer = as_measured(
        lambda _: Asked(500, 1, 550, Kind("m")), known, mean_tokens=400, latency_s=9
    )
    lengths = {
        (one.usage.completion_tokens, one.seconds, one.is_cut)
        for one in map(longer, map(request, range(256)))
    }
    assert lengths == {(200, 9, False), (550, 9, True)}


def test_a_request_gets_an_answer_to_one_of_its_own_kind_where_there_is_one() -> None:
    short, long = (
        Answer(Kind("m", max_tokens=most), 50, Usage(50, most, 50 + most), None, 1.0)
        for most in (5, 80)
    )

    def lengths(most: int) -> set[int]:
        asked = Asked(50, 1, most, Kind("m", max_tokens=most))
        plan = as_measured(lambda _: asked, [short, long], mean_tokens=42.5, latency_s=None)
        return {plan(request(row)).usage.completion_tokens for row in range(256)}

    assert lengths(5) == {5}
    assert lengths(80) == {80}
    assert lengths(100) == {5, 80}
