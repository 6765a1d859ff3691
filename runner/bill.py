"""What one row has cost so far, over all its attempts, and its final word as a Result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.records import Reply, Request, Result, Unfinished, Usage
from runner.tally import PICO

if TYPE_CHECKING:
    from typing import Self


@dataclass(slots=True)
class Bill:
    """Sums over a row's billed attempts, those of earlier runs of the row included."""

    currency: str | None
    attempts: int = 0  # HTTP calls
    unmetered_attempts: int = 0  # of these, maybe billed without known usage
    usage: Usage | None = None  # None until an attempt came back with usage
    cost_pico: int = 0  # 1e-12 of `currency`
    unpriced: bool = False  # an attempt with usage had no known price
    unkept: int = 0  # of the attempts, maybe billed and on no line of the journal so far

    @classmethod
    def of(cls, before: Result | Unfinished, currency: str | None) -> Self:
        """The bill that a row brings along when it is asked again."""
        if before.total_tokens is None:
            return cls(currency, before.attempts, before.unmetered_attempts)
        usage = Usage(
            before.prompt_tokens or 0,
            before.completion_tokens or 0,
            before.total_tokens,
            before.cached_tokens or 0,
            before.reasoning_tokens or 0,
        )
        unpriced = before.cost is None or before.currency != currency
        cost_pico = round((before.cost or 0) * PICO)
        return cls(currency, before.attempts, before.unmetered_attempts, usage, cost_pico, unpriced)

    def add(self, usage: Usage, cost_pico: int | None) -> None:
        """Count one attempt that was billed with known usage."""
        self.usage = usage if self.usage is None else self.usage + usage
        if cost_pico is None:
            self.unpriced = True
        else:
            self.cost_pico += cost_pico

    @property
    def cost(self) -> float | None:
        """In `currency`; None while nothing was metered or where a price is unknown."""
        return None if self.unpriced or self.usage is None else self.cost_pico / PICO

    def _sums(self) -> dict[str, Any]:
        """What a result and an unfinished bill both say of the row's attempts."""
        usage, cost = self.usage, self.cost
        return {
            "attempts": self.attempts,
            "unmetered_attempts": self.unmetered_attempts,
            "prompt_tokens": usage.prompt_tokens if usage else None,
            "completion_tokens": usage.completion_tokens if usage else None,
            "total_tokens": usage.total_tokens if usage else None,
            "cached_tokens": usage.cached_tokens if usage else None,
            "reasoning_tokens": usage.reasoning_tokens if usage else None,
            "cost": cost,
            "currency": None if cost is None else self.currency,
        }

    def so_far(self, row: int) -> Unfinished:
        """What the row has cost, while it has no final word."""
        return Unfinished(row=row, **self._sums())

    def succeeded(self, request: Request, reply: Reply) -> Result:
        """The row's answer."""
        usage, cost = self.usage, self.cost
        return Result(  # by position: a class takes three times as long to be called by names
            request.row,
            request.key,
            reply.completion,
            reply.reasoning,
            reply.tool_calls,
            reply.choices,
            reply.finish_reason,
            reply.model or request.model,
            reply.response_id,
            reply.created,
            usage.prompt_tokens if usage else None,
            usage.completion_tokens if usage else None,
            usage.total_tokens if usage else None,
            usage.cached_tokens if usage else None,
            usage.reasoning_tokens if usage else None,
            cost,
            self.attempts,
            reply.latency_s,
            reply.ttft_s,
            reply.request_id,
            None if cost is None else self.currency,
            time.time(),
            None,  # error_type, error_code, error_message, rejected
            None,
            None,
            None,
            self.unmetered_attempts,
        )

    def failed(
        self,
        row: int,
        key: str,
        *,
        error_type: str,
        message: str,
        code: str | None = None,
        request_id: str | None = None,
        rejected: Reply | str | None = None,
    ) -> Result:
        """The row's failure. `rejected`: what was paid for and cannot be used."""
        reply = rejected if isinstance(rejected, Reply) else None
        text = reply.completion if reply else rejected
        return Result(
            row=row,
            key=key,
            finish_reason=reply.finish_reason if reply else None,
            model=reply.model if reply else None,
            response_id=reply.response_id if reply else None,
            **self._sums(),
            latency_s=reply.latency_s if reply else None,
            request_id=reply.request_id if reply else request_id,
            finished_at=time.time(),
            error_type=error_type,
            error_code=code,
            error_message=message,
            rejected=text if isinstance(text, str) else None,
        )
