"""Wait until the budgets allow it: the one gate that every attempt passes before it is sent.

Two budgets, in this order, so that a request leaves at the moment the pace grants it: tokens, then
pace. Both serve first come, first served; a retry waits in line like a first attempt. So that it
need not wait long, whoever begins new rows asks for a short line first (`has_short_line`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import FailsRow
from runner.limits.pace import WHOLE, Pace
from runner.limits.token_budget import TokenBudget

if TYPE_CHECKING:
    from runner.limits.token_budget import Reservation
    from runner.records import Part, Request, Usage

_TOKENS_LINE = 2  # the head of the line, and whoever takes its place at once


class Admission:
    """Leave to send one attempt. Made by `admit`, given back to `settle`."""

    __slots__ = ("_pace", "reservation")

    def __init__(self, pace: Pace | None, reservation: Reservation | None) -> None:
        self._pace = pace  # that counts on it to leave; None: no more, or never
        self.reservation = reservation  # of tokens

    def leaves(self) -> None:
        """It goes out now; once is enough."""
        if self._pace is not None:
            self._pace.left()
            self._pace = None

    def stays(self) -> None:
        """It will not go out any more, if it has not."""
        if self._pace is not None:
            self._pace.stayed()
            self._pace = None


class Limits:
    """What `admit` returns is given back to `settle` exactly once, whatever the attempt brings."""

    def __init__(self, pace: Pace | None, tokens: TokenBudget | None) -> None:
        self.pace = pace
        self.tokens = tokens
        self._part = WHOLE

    async def admit(self, request: Request, prompt_tokens: int) -> Admission:
        """Wait for every budget. The caller says when the request `leaves`, and settles.

        Raises FailsRow for a request that alone is larger than a minute's tokens.
        """
        while True:
            pace, tokens = self.pace, self.tokens
            reservation = None
            if tokens is not None:
                _check_size(tokens, request, prompt_tokens)
                reservation = await tokens.reserve(prompt_tokens)
            if pace is not None:
                try:
                    await pace.wait()
                except BaseException:
                    self.settle(Admission(None, reservation), None)
                    raise
            admission = Admission(pace, reservation)
            if pace is self.pace and tokens is self.tokens:
                return admission
            self.settle(admission, None)  # other limits hold by now: wait for those

    def has_short_line(self) -> bool:
        """Whether who comes now waits for few others."""
        if self.pace is not None and not self.pace.has_short_line():
            return False
        return self.tokens is None or self.tokens.waiting < _TOKENS_LINE

    def settle(self, admission: Admission, usage: Usage | None, *, unknown: bool = False) -> None:
        """Account for an attempt that has ended, answered or not.

        `unknown`: it may have been billed, and nobody said how much.
        """
        admission.stays()
        reservation = admission.reservation
        if reservation is not None:
            reservation.budget.settle(reservation, usage, unknown=unknown)

    def take(self, part: Part) -> None:
        """From now on only this part of every limit; the others belong to runs that share them."""
        self._part = part
        if self.pace is not None:
            self.pace.set_rate(self.pace.per_second, part)
        if self.tokens is not None:
            self.tokens.resize(self.tokens.per_minute, part)

    def set_pace(self, per_second: float | None) -> None:
        """From now on so many requests a second, without a climb; None: as many as come."""
        if per_second is None:
            self.use_pace(None)
            return
        if self.pace is None:
            self.pace = Pace(per_second)
        self.pace.climb_from(1.0, 0.0)
        self.pace.set_rate(per_second, self._part)

    def use_pace(self, pace: Pace | None) -> None:
        """From now on this one; who waits for another goes on to wait for this."""
        before, self.pace = self.pace, pace
        if before is not None and before is not pace:
            before.open()

    def set_tokens(self, per_minute: int | None) -> None:
        """From now on so many tokens a minute; None: as many as it takes."""
        if per_minute is None:
            self.use_tokens(None)
            return
        if self.tokens is None:
            self.tokens = TokenBudget(per_minute)
        self.tokens.resize(per_minute, self._part)

    def use_tokens(self, tokens: TokenBudget | None) -> None:
        """Likewise."""
        before, self.tokens = self.tokens, tokens
        if before is not None and before is not tokens:
            before.open()

    def open(self) -> None:
        """Stop holding anyone back; the caller has made sure that nothing more is sent."""
        if self.pace is not None:
            self.pace.open()
        if self.tokens is not None:
            self.tokens.open()


def _check_size(tokens: TokenBudget, request: Request, prompt_tokens: int) -> None:
    expected = round(tokens.input_tokens(prompt_tokens))
    if expected > tokens.per_minute:
        raise FailsRow(
            "too_large",
            f"row {request.row} has about {expected:,} input tokens, and the limit is "
            f"{tokens.per_minute:,} tokens a minute; raise --tpm or shorten the row",
        )
