from __future__ import annotations

import math
from random import Random

import pytest

from runner.estimate.extrapolation import Population, mean_range, total_of
from runner.estimate.ranges import Range


def lognormal(dice: Random, sigma: float) -> float:
    return math.exp(dice.gauss(5, sigma))


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.2])
def test_nine_of_ten_ranges_hold_the_mean_of_long_tailed_values(sigma: float) -> None:
    truth = math.exp(5 + sigma * sigma / 2)
    held = 0
    for seed in range(300):
        dice = Random(seed)
        found = mean_range([lognormal(dice, sigma) for _ in range(100)], unseen=math.inf)
        held += found.low <= truth <= found.high
    assert 0.87 <= held / 300 <= 0.96


def test_values_that_grow_with_the_prompt_are_known_more_narrowly() -> None:
    dice = Random(1)
    counted = [dice.uniform(50, 500) for _ in range(100)]
    values = [2 * x + dice.gauss(0, 5) for x in counted]
    blind = mean_range(values, unseen=10_000)
    found = mean_range(values, counted, unseen=10_000, their_mean=300)
    assert found.low < 600 < found.high
    assert found.high - found.low < (blind.high - blind.low) / 10


def test_an_accidental_slope_is_not_used() -> None:
    dice = Random(2)
    values = [lognormal(dice, 0.5) for _ in range(100)]
    counted = [dice.uniform(50, 500) for _ in range(100)]
    assert mean_range(values, counted, unseen=1e6, their_mean=9000) == mean_range(
        values, unseen=1e6
    )


def test_equal_values_leave_no_doubt_and_no_negative_mean_is_made_up() -> None:
    assert mean_range([3.0] * 10, unseen=1000) == Range(3, 3)
    assert mean_range([0.0] * 10, unseen=1000) == Range(0, 0)
    found = mean_range([0.0] * 99 + [1000.0], unseen=1000)
    assert 0 <= found.low < 10 < found.high


def test_one_giant_widens_the_range_by_no_multiple_of_it() -> None:
    dice = Random(3)
    values = [lognormal(dice, 0.5) for _ in range(99)]
    found = mean_range([*values, 40 * max(values)], unseen=math.inf)
    assert found.low > 0
    assert found.high < sum([*values, 40 * max(values)]) / 100 * 8


def test_savings_below_zero_have_a_range_too() -> None:
    found = mean_range([-80.0] * 99 + [0.0], unseen=1000)
    assert -82 < found.low < -79.2 < found.high < -70


def test_what_was_measured_of_the_population_is_certain() -> None:
    values, counted = [10.0, 20.0, 30.0], [1.0, 1.0, 1.0]
    assert total_of(values, counted, Population(3, 3, done=3)) == Range(60, 60)
    found = total_of(values, counted, Population(4, 4, done=3))
    assert 60 < found.low < 80 < found.high
    assert total_of(values, counted, Population(300, 300, done=300)) == Range(6000, 6000)


def test_rows_that_nobody_drew_get_a_margin() -> None:
    values, counted = [10.0] * 5, [1.0] * 5
    found = total_of(values, counted, Population(100, 100), margin=0.1)
    assert (found.low, found.high) == pytest.approx((900, 1100))
