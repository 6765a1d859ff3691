"""How many standard errors either way hold a mean of which only a few values were seen?"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

# From here on the expansion is as exact as a float needs it, and the sums below are long.
_MANY = 200
_HALVINGS = 60


@cache
def student(freedom: int, inside: float) -> float:
    """Student's t: so many standard errors that a share `inside` of all cases lies within them.

    `freedom` is at least 1: the values seen, less one for each thing that was fitted to them.
    """
    if freedom >= _MANY:
        return _expanded(freedom, NormalDist().inv_cdf((1 + inside) / 2))
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < inside else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """The share within tan(angle) times the root of `freedom`.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for step in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (step - 1) / step
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total


def _expanded(freedom: int, z: float) -> float:
    """In powers of 1/freedom, around the normal distribution's quantile."""
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
