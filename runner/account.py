"""How much of one limit, of money or tokens, is taken? Sums, and what a kill must not lose of them.

Amounts are whole: 1e-12 of a currency, or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Amount = tuple[int, int]  # of one attempt or many: (1e-12 of the currency, tokens)

# What is on its way when a process is killed counts as spent for ever. So no more than this part of
# the budget is ever on its way, however many workers there are: nine tenths stay usable.
MOST_AT_RISK = 20
# The lease grows by this part of the budget: few writes to disk, and a small loss at a kill.
LEASE_STEP = 100


@dataclass(slots=True)
class Account:
    """One limit and what counts towards it. `spent` reads what results on disk add up to."""

    kind: Literal[0, 1]  # which part of an Amount it counts: money, tokens
    unit: str  # a currency's name, or "tokens"
    most: int
    spent: Callable[[], int]
    billed: int  # with known usage, on disk or not yet
    lost: int = 0  # may have been billed, nobody said how much: charged in full
    in_flight: int = 0  # the most that the attempts on their way can take
    covered: int = 0  # of what is lost and at risk, how much is on disk in the lease

    @property
    def unsaved(self) -> int:
        """Billed for rows that have no result on disk yet."""
        return max(0, self.billed - self.spent())

    @property
    def to_cover(self) -> int:
        """What a new process could not find out if this one were killed now."""
        return self.lost + self.in_flight + self.unsaved

    @property
    def left(self) -> int:
        """What attempts may still take."""
        return max(0, self.most - self.billed - self.lost - self.in_flight)

    def fits(self, worst: int) -> bool:
        """Whether an attempt that takes at most so much stays within the limit."""
        return self.billed + self.lost + self.in_flight + worst <= self.most

    def is_prudent(self, worst: int) -> bool:
        """Whether no more is at risk with it than may be; one attempt alone always may."""
        at_risk = self.in_flight + self.unsaved + worst
        return not self.in_flight or at_risk <= self.most // MOST_AT_RISK

    def next_cover(self) -> int:
        """What the lease is to cover when it is written next."""
        return self.to_cover + self.most // LEASE_STEP
