"""One worker's round: a turn becomes a request, an attempt, and a result, or is parked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runner.errors import (
    AnsweredError,
    AttemptFailed,
    FailsRow,
    IncompleteReply,
    ProviderStopped,
)
from runner.health import CONFIG_ROWS
from runner.records import Action
from runner.tokens import guess_tokens
from runner.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.errors import StopsRun
    from runner.health import Health
    from runner.intake import Intake, Turn
    from runner.limits import Limits
    from runner.records import Reply, Request, Result, Row, Usage, Verdict
    from runner.retry import Attempts, RetryPolicy

    RowTurn = Turn[Attempts]


class Sender(Protocol):
    """What asks: one HTTP call. `runner.client.Client`, or a test's own."""

    async def send(self, request: Request) -> Reply:
        """The reply. Raises AttemptFailed."""
        ...


class Pricing(Protocol):
    """Money for usage, in 1e-12 of `currency`; None where the price is unknown."""

    currency: str | None

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        """What one attempt cost."""
        ...


class Asking:
    """The way from a row to its result. `work` is run by as many tasks as there are workers."""

    def __init__(
        self,
        *,
        intake: Intake[Attempts],
        fill: Callable[[Row], Request],  # raises FailsRow
        limits: Limits,
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
        self._health = health
        self._client = client
        self._policy = policy
        self._prices = prices
        self._dashscope = dashscope
        self._keep = keep
        self._stop = stop
        self._say = say
        self._stopping = False
        # refused for the configuration, undecided
        self._held: list[tuple[RowTurn, Verdict, AttemptFailed]] = []
        self.in_flight = 0  # attempts on their way now

    def close(self) -> None:
        """Begin nothing more; replies on their way still count."""
        self._stopping = True
        self._intake.close()
        self._limits.open()
        self._health.open()

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
            reserved = await self._limits.admit(request, guess_tokens(request.body))
            if self._stopping:
                return
            turn.bill.attempts += 1
            usage: Usage | None = None
            self.in_flight += 1
            try:
                reply = await self._client.send(request)
                usage = reply.usage
            except AttemptFailed as error:
                usage = await self._failed_attempt(turn, request, error)
            else:
                await self._answered(turn, request, reply)
            finally:
                self.in_flight -= 1
                self._limits.settle(reserved, usage)
        finally:
            if is_probe:
                self._health.probed()

    async def _answered(self, turn: RowTurn, request: Request, reply: Reply) -> None:
        if not self._health.succeeded_once:
            await self._release_held()
        if self._health.is_outage:
            self._say(f"The endpoint answers again after {self._health.outage_s:.0f} s.")
        self._health.success()
        self._charge(turn, request, reply)
        await self._finish(turn.bill.succeeded(request, reply))

    def _charge(self, turn: RowTurn, request: Request, reply: Reply) -> None:
        if reply.usage is None:
            turn.bill.unmetered_attempts += 1
            return
        reasoned = reply.reasoning is not None or reply.usage.reasoning_tokens > 0
        turn.bill.add(reply.usage, self._prices.cost_pico(request, reply.usage, reasoned=reasoned))

    async def _failed_attempt(
        self, turn: RowTurn, request: Request, error: AttemptFailed
    ) -> Usage | None:
        """Decide what follows; the usage of a reply that was billed but cannot be used."""
        partial = error.partial if isinstance(error, IncompleteReply) else None
        if partial is not None:
            self._charge(turn, request, partial)
        elif error.billed_unknown:
            turn.bill.unmetered_attempts += 1
        verdict = judge(error, dashscope=self._dashscope)
        if verdict.action is Action.STOP:
            self._stop(ProviderStopped(_with_hint(verdict)))
        elif verdict.action is Action.CONFIG and not self._health.succeeded_once:
            self._hold(turn, verdict, error)
        elif verdict.action in {Action.FAIL, Action.CONFIG}:
            self._health.answered()
            await self._finish(_refused(turn, verdict, error))
        else:
            await self._again(turn, verdict, error)
        return partial.usage if partial is not None else None

    async def _again(self, turn: RowTurn, verdict: Verdict, error: AttemptFailed) -> None:
        if self._in_outage(turn, verdict):
            self._intake.park(turn, 0.0)  # the probe's pace is the outage's, not the row's
            return
        if verdict.action is Action.THROTTLED:
            self._health.answered()
            stop = self._health.throttled()
            if stop is not None:
                self._stop(stop)
                return
        wait_s = self._policy.next_wait_s(turn.history, verdict)
        if wait_s is None:
            await self._finish(_refused(turn, verdict, error))
        else:
            self._intake.park(turn, wait_s)

    def _in_outage(self, turn: RowTurn, verdict: Verdict) -> bool:
        if not verdict.outage:
            return False
        if self._health.failure(turn.row.index, rows_left=self._intake.last_turns):
            self._say(
                f"The endpoint answers nobody ({verdict.message}); everyone waits while one row "
                f"probes. No attempts are used up."
            )
        if not self._health.is_outage:
            return False
        stop = self._health.give_up()
        if stop is not None:
            self._stop(stop)
        return True

    def _hold(self, turn: RowTurn, verdict: Verdict, error: AttemptFailed) -> None:
        """Keep a row pending until it is known whether every row is refused like it."""
        self._held.append((turn, verdict, error))
        self.check_held()

    def check_held(self) -> None:
        """Stop the run when the first rows, or all of them, were refused for the configuration."""
        if not self._held:
            return
        everyone = self._intake.last_turns == len(self._held)
        if everyone or len(self._held) >= CONFIG_ROWS:
            verdict = self._held[0][1]
            self._stop(
                ProviderStopped(
                    f"the first {len(self._held)} row(s) were all refused: {_with_hint(verdict)}. "
                    f"They stay pending; mend the job and start again"
                )
            )

    async def _release_held(self) -> None:
        """A success came: what was held were bad rows, not a bad configuration."""
        held, self._held = self._held, []
        for turn, verdict, error in held:
            await self._finish(_refused(turn, verdict, error))

    async def _finish(self, result: Result) -> None:
        await self._keep(result)
        self._intake.done()
        self.check_held()


def _with_hint(verdict: Verdict) -> str:
    return f"{verdict.message} ({verdict.hint})" if verdict.hint else verdict.message


def _unsent(turn: RowTurn, flaw: FailsRow) -> Result:
    key = turn.request.key if turn.request is not None else ""
    return turn.bill.failed(
        turn.row.index, key, error_type=flaw.error_type, message=flaw.message, code=flaw.code
    )


def _refused(turn: RowTurn, verdict: Verdict, error: AttemptFailed) -> Result:
    rejected = (error.partial or error.text) if isinstance(error, IncompleteReply) else None
    return turn.bill.failed(
        turn.row.index,
        turn.request.key if turn.request is not None else "",
        error_type=verdict.error_type,
        message=verdict.message,
        code=verdict.code,
        request_id=error.request_id if isinstance(error, AnsweredError) else None,
        rejected=rejected or None,
    )
