"""A figure that is known only from its least to its most."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; equal when the figure is known."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.high * factor)

    def to_json(self, digits: int = 0) -> dict[str, float]:
        """Both ends, rounded; whole numbers without digits."""
        if digits:
            return {"low": round(self.low, digits), "high": round(self.high, digits)}
        return {"low": round(self.low), "high": round(self.high)}

    @property
    def middle(self) -> float:
        """Between the two: as many times `low` as `high` is of it, where `low` is not 0."""
        if self.low <= 0:
            return (self.low + self.high) / 2
        return math.sqrt(self.low * self.high)
