"""One worker's round: a turn becomes a request, an attempt, and a result, or is set back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from runner.budget import FREE
from runner.errors import AttemptFailed, FailsRow
from runner.records import Action
from runner.setbacks import Setbacks
from runner.tokens import guess_tokens
from runner.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.budget import Stake
    from runner.errors import StopsRun
    from runner.health import Health
    from runner.intake import Intake, Turn
    from runner.limits import Limits, Reservation
    from runner.records import Reply, Request, Result, Row, Usage, Verdict
    from runner.retry import Attempts, RetryPolicy
    from runner.throttling import Throttling

    RowTurn = Turn[Attempts]


class Sender(Protocol):
    """What asks: one HTTP call. `runner.client.Client`, or a test's own."""

    async def send(self, request: Request) -> Reply:
        """The reply. Raises AttemptFailed."""
        ...


class Pricing(Protocol):
    """Money for usage, in 1e-12 of the run's currency; None where the price is unknown."""

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        """What one attempt cost."""
        ...


class Purse(Protocol):
    """The run's budget of money and tokens. `runner.spending.Spending`, or a test's own."""

    async def admit(self, request: Request) -> Stake:
        """Wait until the most that an attempt can take fits. Raises FailsRow where none does."""
        ...

    def open(self) -> None:
        """Stop holding anyone back."""
        ...


class Asking:
    """The way from a row to its result. `work` is run by as many tasks as there are workers."""

    def __init__(
        self,
        *,
        intake: Intake[Attempts],
        fill: Callable[[Row], Request],  # raises FailsRow
        limits: Limits,
        budget: Purse | None,  # None: no limit on money or tokens
        throttling: Throttling | None,  # None: there is no pace to slow
        health: Health,
        client: Sender,
        policy: RetryPolicy,
        prices: Pricing,
        dashscope: bool,  # whether error answers are to be read as Model Studio's
        keep: Callable[[Result], Awaitable[None]],
        stop: Callable[[StopsRun], None],
        say: Callable[[str], None],
    ) -> None:
        self._intake = intake
        self._fill = fill
        self._limits = limits
        self._budget = budget
        self._throttling = throttling
        self._health = health
        self._client = client
        self._prices = prices
        self._dashscope = dashscope
        self._keep = keep
        self._stopping = False
        self._now_s = asyncio.get_running_loop().time
        self._setbacks = Setbacks(
            intake=intake, health=health, policy=policy, finish=self._finish, stop=stop, say=say
        )
        self.in_flight = 0  # attempts on their way now

    def close(self) -> None:
        """Begin nothing more; replies on their way still count."""
        self._stopping = True
        self._intake.close()
        self._limits.open()
        if self._budget is not None:
            self._budget.open()
        self._health.open()
        self._setbacks.close()

    async def all_read(self) -> None:
        """No more rows will come: what was held undecided may be all that is left."""
        await self._setbacks.decide()

    async def work(self) -> None:
        """Take turns until there are none left."""
        while (turn := await self._intake.take()) is not None:
            try:
                if turn.request is None:
                    turn.request = self._fill(turn.row)
                await self._attempt(turn, turn.request)
            except FailsRow as flaw:
                await self._finish(_unsent(turn, flaw))

    async def _attempt(self, turn: RowTurn, request: Request) -> None:
        is_probe = await self._health.admit()
        try:
            budget = self._budget
            with FREE if budget is None else await budget.admit(request) as stake:
                reservation = await self._limits.admit(request, guess_tokens(request.body))
                if self._stopping or (self._health.is_outage and not is_probe):
                    # An outage declared while it stood in line holds for it too.
                    self._limits.settle(reservation, None)
                    self._intake.park(turn, 0.0)
                    return
                sent_s = self._now_s()
                outcome = await self._send(turn, request, reservation, stake)
                if isinstance(outcome, AttemptFailed):
                    verdict = judge(outcome, dashscope=self._dashscope)
                    self._note(sent_s, verdict)
                    await self._setbacks.meet(turn, outcome, verdict)
                else:
                    self._note(sent_s, None)
                    await self._setbacks.success()
                    await self._finish(turn.bill.succeeded(request, outcome))
        finally:
            if is_probe:
                self._health.probed()

    async def _send(
        self, turn: RowTurn, request: Request, reservation: Reservation | None, stake: Stake
    ) -> Reply | AttemptFailed:
        """One attempt, paid for: whoever is cancelled here may be billed all the same."""
        usage, unknown = None, True
        turn.bill.attempts += 1
        self.in_flight += 1
        stake.sent()
        try:
            reply = await self._client.send(request)
            usage, unknown = self._charge(turn, request, reply, stake), reply.usage is None
        except AttemptFailed as error:
            unknown = error.billed_unknown
            if error.partial is not None:
                usage = self._charge(turn, request, error.partial, stake)
            elif unknown:
                turn.bill.unmetered_attempts += 1
            if not error.is_risk:
                stake.not_billed()
            return error
        else:
            return reply
        finally:
            self.in_flight -= 1
            self._limits.settle(reservation, usage, unknown=unknown)

    def _note(self, sent_s: float, verdict: Verdict | None) -> None:
        if self._throttling is not None:
            throttled = verdict is not None and verdict.action is Action.THROTTLED
            burst = verdict is not None and verdict.burst
            self._throttling.attempt_ended(sent_s, throttled=throttled, burst=burst)

    def _charge(self, turn: RowTurn, request: Request, reply: Reply, stake: Stake) -> Usage | None:
        """Put a reply, whole or broken off, on the row's bill."""
        usage = reply.usage
        if usage is None:
            turn.bill.unmetered_attempts += 1
        else:
            reasoned = reply.reasoning is not None or usage.reasoning_tokens > 0
            cost_pico = self._prices.cost_pico(request, usage, reasoned=reasoned)
            turn.bill.add(usage, cost_pico)
            stake.billed((cost_pico or 0, usage.total_tokens))
        return usage

    async def _finish(self, result: Result) -> None:
        await self._keep(result)
        self._intake.done()
        if self._setbacks.undecided:
            await self._setbacks.decide()


def _unsent(turn: RowTurn, flaw: FailsRow) -> Result:
    key = turn.request.key if turn.request is not None else ""
    return turn.bill.failed(
        turn.row.index, key, error_type=flaw.error_type, message=flaw.message, code=flaw.code
    )
