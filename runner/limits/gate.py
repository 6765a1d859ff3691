"""Wait until the budgets allow it: the one gate that every attempt passes before it is sent.

Two budgets, in this order, so that a request leaves at the moment the pace grants it: tokens, then
pace. Both serve first come, first served; a retry waits in line like a first attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import FailsRow

if TYPE_CHECKING:
    from runner.limits.pace import Pace
    from runner.limits.token_budget import Reservation, TokenBudget
    from runner.records import Part, Request, Usage


class Limits:
    """What `admit` returns is given back to `settle` exactly once, whatever the attempt brings."""

    def __init__(self, pace: Pace | None, tokens: TokenBudget | None) -> None:
        self._pace = pace
        self._tokens = tokens

    async def admit(self, request: Request, prompt_tokens: int) -> Reservation | None:
        """Wait for every budget. Returns what was set aside, to be given back to `settle`.

        Raises FailsRow for a request that alone is larger than a minute's tokens.
        """
        reservation = None
        if self._tokens is not None:
            _check_size(self._tokens, request, prompt_tokens)
            reservation = await self._tokens.reserve(prompt_tokens)
        if self._pace is not None:
            try:
                await self._pace.wait()
            except BaseException:
                self.settle(reservation, None)
                raise
        return reservation

    def settle(
        self, reservation: Reservation | None, usage: Usage | None, *, unknown: bool = False
    ) -> None:
        """Account for an attempt that has ended, answered or not.

        `unknown`: it may have been billed, and nobody said how much.
        """
        if self._tokens is not None and reservation is not None:
            self._tokens.settle(reservation, usage, unknown=unknown)

    def take(self, part: Part) -> None:
        """From now on only this part of every limit; the others belong to runs that share them."""
        if self._pace is not None:
            self._pace.set_rate(self._pace.per_second, part)
        if self._tokens is not None:
            self._tokens.resize(self._tokens.per_minute, part)

    def open(self) -> None:
        """Stop holding anyone back; the caller has made sure that nothing more is sent."""
        if self._pace is not None:
            self._pace.open()
        if self._tokens is not None:
            self._tokens.open()


def _check_size(tokens: TokenBudget, request: Request, prompt_tokens: int) -> None:
    expected = round(tokens.input_tokens(prompt_tokens))
    if expected > tokens.per_minute:
        raise FailsRow(
            "too_large",
            f"row {request.row} has about {expected:,} input tokens, and the limit is "
            f"{tokens.per_minute:,} tokens a minute; raise --tpm or shorten the row",
        )
