"""What do some measured rows say of all of them? A range that holds the truth in 9 of 10 cases.

Lengths of answers have long tails, and a mean over a hundred of them is off to one side: too low as
a rule, and then its spread looks too small as well. So the range is taken on a logarithmic scale,
its upper end is moved by the skewness that shows in the sample (Hall, On the removal of skewness by
transformation, 1992), and it is a little wider than the level that is promised.
benchmarks/pilot_trials.py counts how often it holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.estimate.ranges import Range
from runner.estimate.student import student

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.9  # the share of cases in which a range is meant to hold
# Of a hundred long-tailed values a range at the nominal 90 % holds in 83 to 88 of 100 cases, since
# the tail is mostly unseen; at 93 % it holds in 89 to 94.
_NOMINAL = 0.93
# The skewness of a sample is itself uncertain: one giant among the rows would move the upper end
# several times as far as the truth ever lies.
_MOST_SKEWED = 1.1
# Only where a range is wider than 2 to 1 does the shape of the values help; the test rejects one
# normal sample in a hundred.
_WIDE = 2.0
_STRANGE = 9.2
# A slope is used only where it is no accident.
_SURE_SLOPE = 3.0
_LEAST_FOR_SLOPE = 20


@dataclass(frozen=True, slots=True)
class Population:
    """All requests that a total is for. Made by `measured_bill`."""

    requests: float
    counted: float  # prompt tokens of all of them, as counted here
    done: float = 0  # of the requests, those whose answers the measured ones stand for


def total_of(
    values: Sequence[float], counted: Sequence[float], population: Population, *, margin: float = 0
) -> Range:
    """The sum of a figure over all requests, of which `values` were measured.

    `counted` are the prompt tokens of the same rows: where the figure grows with them, the lengths
    of all prompts make the range narrower. What was measured of the population itself is certain;
    `margin` widens the rest by that share of itself, for rows that were not drawn at random.
    Needs at least two values.
    """
    share = population.done / len(values)  # of a large run only some answers were looked at
    seen, seen_counted = math.fsum(values) * share, math.fsum(counted) * share
    unseen = population.requests - population.done
    if unseen < 1:
        return Range(seen, seen)
    mean = mean_range(
        values, counted, unseen=unseen, their_mean=(population.counted - seen_counted) / unseen
    )
    low, high = mean.low * unseen, mean.high * unseen
    return Range(seen + low - abs(low) * margin, seen + high + abs(high) * margin)


def mean_range(
    values: Sequence[float],
    counted: Sequence[float] | None = None,
    *,
    unseen: float,
    their_mean: float = 0,
) -> Range:
    """Where the mean over `unseen` other rows lies, whose mean of `counted` is known."""
    size = len(values)
    mean = math.fsum(values) / size
    slope, lever = 0.0, 0.0
    if counted is not None and (grows := _slope(values, counted)) is not None:
        slope, spread, middle = grows
        away = their_mean - middle
        lever = away * away / spread
        residuals = [
            value - mean - slope * (x - middle) for value, x in zip(values, counted, strict=True)
        ]
        center = mean + slope * away
    else:
        residuals = [value - mean for value in values]
        center = mean
    freedom = size - (2 if slope else 1)
    deviation = math.sqrt(math.fsum(one * one for one in residuals) / freedom)
    if deviation <= abs(center) * 1e-12:
        return Range(center, center)
    error = deviation * math.sqrt(1 / size + 1 / unseen + lever)
    reach = student(freedom, _NOMINAL)
    skewed = _skewed_reach(residuals, deviation, reach)
    least = min(values)
    if least < 0 or center <= 0:
        return Range(center - reach * error, center + max(reach, skewed) * error)
    high = center * math.exp(reach * error / center)
    found = Range(
        max(min(least, center), center * math.exp(-reach * error / center)),
        max(high, min(center + skewed * error, _MOST_SKEWED * high)),
    )
    if found.high > _WIDE * found.low and least > 0 and not slope:
        return _by_shape(values, unseen) or found
    return found


def _by_shape(values: Sequence[float], unseen: float) -> Range | None:
    """The mean's range if the logarithms are normal, as they seem to be; None: they are not.

    Cox's method: the shape tells more of the tail than the few values that happen to lie in it.
    Whether they are normal is decided by skewness and kurtosis (Jarque and Bera).
    """
    size = len(values)
    logs = [math.log(value) for value in values]
    mean = math.fsum(logs) / size
    second, third, fourth = (
        math.fsum((one - mean) ** power for one in logs) / size for power in (2, 3, 4)
    )
    strange = size / 6 * (third**2 / second**3 + (fourth / second**2 - 3) ** 2 / 4)
    if strange > _STRANGE:
        return None
    variance = second * size / (size - 1)
    seen = 1 + size / unseen
    error = math.sqrt((variance / size + variance**2 / (2 * (size - 1))) * seen)
    reach = student(size - 1, _NOMINAL) * error
    middle = mean + variance / 2
    return Range(math.exp(middle - reach), math.exp(middle + reach))


def _slope(values: Sequence[float], counted: Sequence[float]) -> tuple[float, float, float] | None:
    """How values grow with prompts, the prompts' squared spread and mean; None: no sure way."""
    size = len(values)
    if size < _LEAST_FOR_SLOPE:
        return None
    mean, middle = math.fsum(values) / size, math.fsum(counted) / size
    spread = math.fsum((x - middle) ** 2 for x in counted)
    around = math.fsum((value - mean) ** 2 for value in values)
    if not spread or not around:
        return None
    product = math.fsum(
        (x - middle) * (value - mean) for value, x in zip(values, counted, strict=True)
    )
    share = min(1.0, product * product / spread / around)
    sure = share * (size - 2) >= _SURE_SLOPE**2 * (1 - share)
    return (product / spread, spread, middle) if sure else None


def _skewed_reach(residuals: Sequence[float], deviation: float, reach: float) -> float:
    """How many standard errors above its estimate a mean may lie, by Hall's transformation."""
    size = len(residuals)
    skewness = math.fsum(one**3 for one in residuals) / size / deviation**3
    if abs(skewness) < 1e-9:
        return reach
    root = math.sqrt(size)
    inner = 1 - skewness / root * (reach + skewness / (6 * root))
    return 3 * root / skewness * (1 - math.cbrt(inner))
