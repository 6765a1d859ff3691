"""What requests are expected to take, learned from what they took."""

from __future__ import annotations

import pytest

from runner.limits.expectation import Expectation, Mean
from runner.records import Usage


def usage(prompt: int, completion: int) -> Usage:
    return Usage(prompt, completion, prompt + completion)


def test_a_mean_is_of_everything_first_and_of_the_last_values_later() -> None:
    mean = Mean(7.0)
    assert mean.value == 7
    for value in (1, 2, 3):
        mean.add(value)
    assert mean.value == pytest.approx(2)
    for _ in range(500):
        mean.add(100)
    assert mean.value == pytest.approx(100, rel=0.01)


def test_before_any_answer_a_middling_one_is_assumed() -> None:
    assert 500 < Expectation().tokens(1150) < 2000


def test_the_guess_of_the_input_is_set_right_by_what_was_counted() -> None:
    expectation = Expectation()
    for _ in range(10):
        expectation.learn(200, usage(100, 50), 1.0, 0)
    assert expectation.input_tokens(400) == pytest.approx(200)
    assert expectation.tokens(200) == pytest.approx(150, abs=1)


def test_outputs_are_learned_by_length_of_input() -> None:
    expectation = Expectation()
    for _ in range(10):
        expectation.learn(100, usage(100, 10), 1.0, 0)
        expectation.learn(5000, usage(5000, 900), 1.0, 0)
    assert expectation.tokens(100) == pytest.approx(110, abs=1)
    assert expectation.tokens(5000) == pytest.approx(5900, abs=1)
    # a length never seen: as all together
    assert expectation.tokens(1000) == pytest.approx(1455, abs=1)


def test_learns_how_long_answers_take_and_how_far_off_it_is() -> None:
    expectation = Expectation()
    assert expectation.landing_s == expectation.error_tokens == 0
    for landing_s, error in ((1, 10), (3, 30)):
        expectation.learn(100, usage(100, 10), landing_s, error)
    assert expectation.landing_s == pytest.approx(2)
    assert expectation.error_tokens == pytest.approx(20)
    assert expectation.answers == 2


def test_expects_at_least_one_token() -> None:
    expectation = Expectation()
    for _ in range(5):
        expectation.learn(1, usage(0, 0), 1.0, 0)
    assert expectation.tokens(1) == 1
