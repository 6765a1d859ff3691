from __future__ import annotations

from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from runner.records import Request
from runner.rehearsal_answers import Asked, assumed

if TYPE_CHECKING:
    from runner.simulator import Planned


def request(row: int) -> Request:
    return Request(row, b"{}", f"{row % 256:02x}" + Random(row).randbytes(15).hex(), "m")


def answers(mean_tokens: float, *, choices: int = 1, most: int | None = None) -> list[Planned]:
    plan = assumed(
        lambda _: Asked(50, choices, most),
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
