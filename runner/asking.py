"""One worker's round: a turn becomes a request, an attempt, and a result, or is set back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from runner.crew import Place
from runner.errors import AttemptFailed, FailsRow
from runner.records import Action
from runner.sending import Sending
from runner.setbacks import Setbacks
from runner.stake import FREE
from runner.tokens import guess_tokens
from runner.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.errors import StopsRun
    from runner.health import Health
    from runner.intake import Intake, Turn
    from runner.lanes import Lane, Lanes
    from runner.records import Request, Result, Row, Unfinished, Verdict
    from runner.retry import Attempts, RetryPolicy
    from runner.sending import Pricing, Sender
    from runner.stake import Stake

    RowTurn = Turn[Attempts]


_LINE = 2  # rows that may wait for the budget: one to go next, and one behind it
_LATELY_S = 10.0  # throttled rows wait up to so long, mostly


class Purse(Protocol):
    """The run's budget of money and tokens. `runner.spending.Spending`, or a test's own."""

    @property
    def waiting(self) -> int:
        """Attempts that wait for others to be settled."""
        ...

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
        lanes: Lanes,
        budget: Purse | None,  # None: no limit on money or tokens
        health: Health,
        client: Sender,
        policy: RetryPolicy,
        prices: Pricing,
        usual_model: str,  # whose name is the job's matter, and any other the row's own
        dashscope: bool,  # whether error answers are to be read as Model Studio's
        keep: Callable[[Result], Awaitable[None]],
        keep_bill: Callable[[Unfinished], Awaitable[None]],
        stop: Callable[[StopsRun], None],
        say: Callable[[str], None],
        lost: Callable[[Request], None] = lambda _: None,  # an attempt may be billed, unknown
    ) -> None:
        self._intake = intake
        self._fill = fill
        self._lanes = lanes
        self._budget = budget
        self._health = health
        self._sending = Sending(client, prices, lost)
        self._dashscope = dashscope
        self._keep = keep
        self._keep_bill = keep_bill
        self._tried: dict[int, RowTurn] = {}  # by row: asked without a result so far
        self._stopping = False
        self._goes_on: asyncio.Event | None = None  # while paused: set when it goes on
        self._now_s = asyncio.get_running_loop().time
        self._setbacks = Setbacks(
            intake=intake,
            health=health,
            policy=policy,
            usual_model=usual_model,
            finish=self._finish,
            stop=stop,
            say=say,
        )
        self.ended = 0  # attempts that have come to an end
        self.throttles = 0  # attempts that were throttled so far
        self._throttled_at_s = float("-inf")

    def close(self) -> None:
        """Begin nothing more; replies on their way still count."""
        self._stopping = True
        self._intake.close()
        self._lanes.open()
        if self._budget is not None:
            self._budget.open()
        self._health.open()
        self._setbacks.close()
        self.go_on()

    @property
    def in_flight(self) -> int:
        """Attempts on their way now."""
        return self._sending.in_flight

    @property
    def paused(self) -> bool:
        """Whether nothing new is sent until `go_on`."""
        return self._goes_on is not None

    def pause(self) -> None:
        """Send nothing new; replies on their way land."""
        if self._goes_on is None and not self._stopping:
            self._goes_on = asyncio.Event()
            self._health.stand_still()

    def go_on(self) -> None:
        """End a pause."""
        if self._goes_on is not None:
            self._goes_on.set()
            self._goes_on = None
            self._health.move_on()

    async def all_read(self) -> None:
        """No more rows will come: what was held undecided may be all that is left."""
        await self._setbacks.decide()

    async def work(self, place: Place | None = None) -> None:
        """Take turns until there are none left, or until the worker's place is given up."""
        place = place if place is not None else Place()
        while not place.leaving and (turn := await self._next_turn()) is not None:
            try:
                if turn.request is None:
                    turn.request = self._fill(turn.row)
                await self._attempt(turn, turn.request, place)
            except FailsRow as flaw:
                place.busy = True
                await self._finish(_unsent(turn, flaw))
            except asyncio.CancelledError:
                if not place.busy:
                    self._intake.park(turn, 0.0)  # somebody else takes it
                raise
            place.busy = False
            del turn  # its row and request may be large, and the next one long in coming

    async def _next_turn(self) -> RowTurn | None:
        while self._goes_on is not None:
            await self._goes_on.wait()
        return await self._intake.take(self._may_begin)

    def _may_begin(self) -> bool:
        """Whether few enough stand in line: a retry that comes due stands behind them."""
        if self._health.is_outage:
            return not self._health.is_probing
        if self._budget is not None and self._budget.waiting >= _LINE:
            return False
        return self._lanes.has_short_line()

    async def _attempt(self, turn: RowTurn, request: Request, place: Place) -> None:
        is_probe = self._health.is_outage and await self._health.admit()
        try:
            lane, budget = self._lanes.of(request.model), self._budget
            with FREE if budget is None else await budget.admit(request) as stake:
                admission = await lane.limits.admit(request, guess_tokens(request.body))
                is_held = self._health.is_outage and not is_probe
                if self._stopping or self.paused or is_held:
                    # A pause or an outage that came while it stood in line holds for it too.
                    lane.limits.settle(admission, None)
                    self._intake.park(turn, 0.0)
                    return
                place.busy = True
                if self._intake.held:
                    self._intake.look_again()
                sent_s = self._now_s()
                self._tried[turn.row.index] = turn
                outcome = await self._sending.send(
                    turn.bill, request, lane.limits, admission, stake
                )
                if isinstance(outcome, AttemptFailed):
                    if outcome.billed_unknown or outcome.partial is not None:
                        # It may have cost something, and a kill must not make that unknown.
                        await self._note_bill(turn)
                    else:
                        turn.bill.unkept -= 1
                    verdict = judge(outcome, dashscope=self._dashscope)
                    self._note(lane, sent_s, verdict)
                    await self._setbacks.meet(turn, outcome, verdict)
                else:
                    self._note(lane, sent_s, None)
                    await self._setbacks.success()
                    await self._finish(turn.bill.succeeded(request, outcome))
        finally:
            if is_probe:
                self._health.probed()

    def _note(self, lane: Lane, sent_s: float, verdict: Verdict | None) -> None:
        throttled = verdict is not None and verdict.action is Action.THROTTLED
        self.ended += 1
        if throttled:
            self.throttles += 1
            self._throttled_at_s = self._now_s()
        if lane.throttling is not None:
            burst = verdict is not None and verdict.burst
            lane.throttling.attempt_ended(sent_s, throttled=throttled, burst=burst)

    async def _note_bill(self, turn: RowTurn) -> None:
        await self._keep_bill(turn.bill.so_far(turn.row.index))
        turn.bill.unkept = 0

    async def keep_bills(self) -> None:
        """Keep the bills of rows that were asked and have no result; call it when all is over."""
        for turn in self._tried.values():
            await self._note_bill(turn)

    @property
    def unkept(self) -> int:
        """Attempts that may be billed and are on the line of no result and no bill."""
        return sum(turn.bill.unkept for turn in self._tried.values())

    @property
    def throttled_lately(self) -> bool:
        """Whether a throttle answer came within the last seconds."""
        return self._now_s() - self._throttled_at_s < _LATELY_S

    async def _finish(self, result: Result) -> None:
        await self._keep(result)
        self._tried.pop(result.row, None)
        self._intake.done()
        if self._setbacks.undecided:
            await self._setbacks.decide()


def _unsent(turn: RowTurn, flaw: FailsRow) -> Result:
    key = turn.request.key if turn.request is not None else ""
    return turn.bill.failed(
        turn.row.index, key, error_type=flaw.error_type, message=flaw.message, code=flaw.code
    )
