"""One attempt on its way: sent, put on its row's bill and settled, whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from runner.errors import AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.bill import Bill
    from runner.limits import Admission, Limits
    from runner.records import Reply, Request, Usage
    from runner.stake import Stake


class Sender(Protocol):
    """What asks: one HTTP call. `runner.client.Client`, or a test's own."""

    async def send(self, request: Request, leaves: Callable[[], None]) -> Reply:
        """The reply. Raises AttemptFailed. Calls `leaves` when the request goes out."""
        ...


class Pricing(Protocol):
    """Money for usage, in 1e-12 of the run's currency; None where the price is unknown."""

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        """What one attempt cost."""
        ...


class Sending:
    """All attempts of a run that are on their way now. Made by `asking`."""

    def __init__(self, client: Sender, prices: Pricing, lost: Callable[[Request], None]) -> None:
        self._client = client
        self._prices = prices
        self._lost = lost
        self.in_flight = 0  # attempts on their way now

    async def send(
        self, bill: Bill, request: Request, limits: Limits, admission: Admission, stake: Stake
    ) -> Reply | AttemptFailed:
        """One attempt, paid for: whoever is cancelled here may be billed all the same."""
        usage, unknown = None, True
        bill.attempts += 1
        bill.unkept += 1
        self.in_flight += 1
        stake.sent()
        try:
            reply = await self._client.send(request, admission.leaves)
            usage, unknown = self._charge(bill, request, reply, stake), reply.usage is None
            if unknown:
                self._lost(request)
        except AttemptFailed as error:
            unknown = error.billed_unknown
            if error.partial is not None:
                usage = self._charge(bill, request, error.partial, stake)
            elif unknown:
                bill.unmetered_attempts += 1
            if not error.is_risk:
                stake.not_billed()
            elif usage is None:
                self._lost(request)
            return error
        except asyncio.CancelledError:
            bill.unmetered_attempts += 1  # given up on its way, which hinders no provider
            self._lost(request)
            raise
        else:
            return reply
        finally:
            self.in_flight -= 1
            limits.settle(admission, usage, unknown=unknown)

    def _charge(self, bill: Bill, request: Request, reply: Reply, stake: Stake) -> Usage | None:
        """Put a reply, whole or broken off, on the row's bill."""
        usage = reply.usage
        if usage is None:
            bill.unmetered_attempts += 1
        else:
            reasoned = reply.reasoning is not None or usage.reasoning_tokens > 0
            cost_pico = self._prices.cost_pico(request, usage, reasoned=reasoned)
            bill.add(usage, cost_pico)
            stake.billed((cost_pico or 0, usage.total_tokens))
        return usage
