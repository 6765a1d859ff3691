"""What follows from a failed attempt: the row waits, fails, is held undecided, or the run stops.

Held are rows whose failure may be everybody's: refused for the configuration before anything has
succeeded, or out of attempts by what may be an outage or a timeout too short. The next answer, or
the lack of one, decides.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from runner.errors import AnsweredError, IncompleteReply, ProviderStopped, TimedOut
from runner.records import Action

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.errors import AttemptFailed, StopsRun
    from runner.health import Health
    from runner.intake import Intake, Turn
    from runner.records import Result, Verdict
    from runner.retry import Attempts, RetryPolicy

    RowTurn = Turn[Attempts]

CONFIG_ROWS = 20  # distinct rows with one refusal; enough to know that it is not the data


class Setbacks:
    """Decides over failed attempts, knowing what the others brought. One for all workers."""

    def __init__(
        self,
        *,
        intake: Intake[Attempts],
        health: Health,
        policy: RetryPolicy,
        finish: Callable[[Result], Awaitable[None]],
        stop: Callable[[StopsRun], None],
        say: Callable[[str], None],
    ) -> None:
        self._intake = intake
        self._health = health
        self._policy = policy
        self._finish = finish
        self._stop = stop
        self._say = say
        self._closed = False
        self._refused: list[tuple[Verdict, Result]] = []  # for the configuration
        self._exhausted: list[tuple[RowTurn, Verdict, Result]] = []  # out of attempts
        self._charged: list[RowTurn] = []  # an attempt each, since the last answer

    @property
    def undecided(self) -> bool:
        """Whether rows are held."""
        return bool(self._refused or self._exhausted)

    def close(self) -> None:
        """The run is stopping: whatever is undecided stays pending."""
        self._closed = True

    async def success(self) -> None:
        """A reply came."""
        first = not self._health.succeeded_once
        self._tell_end_of_outage()
        self._health.success()
        await self._decide_by_answer(refused_too=first)

    async def meet(self, turn: RowTurn, error: AttemptFailed, verdict: Verdict) -> None:
        """Decide what follows from one failed attempt."""
        action = verdict.action
        if action is Action.STOP:
            self._stop(ProviderStopped(_with_hint(verdict)))
            return
        if _is_answer(error, verdict):
            self._tell_end_of_outage()
            self._health.answered()
            await self._decide_by_answer(refused_too=False)
        if action is Action.CONFIG and not self._health.succeeded_once:
            self._refused.append((verdict, _refused(turn, verdict, error)))
            await self.decide()
        elif action in {Action.FAIL, Action.CONFIG}:
            await self._finish(_refused(turn, verdict, error))
        elif not self._closed:  # a row that would be asked again stays pending
            await self._again(turn, error, verdict)

    async def _again(self, turn: RowTurn, error: AttemptFailed, verdict: Verdict) -> None:
        if verdict.outage and self._in_outage(turn, verdict):
            self._intake.park(turn, 0.0)  # the probe's pace is the outage's, not the row's
            return
        stop = self._closed_door(turn, error, verdict)
        if stop is not None:
            self._stop(stop)
            return
        wait_s = self._policy.next_wait_s(turn.history, verdict)
        if verdict.outage:
            self._charged.append(turn)
        if wait_s is not None:
            self._intake.park(turn, wait_s)
        elif verdict.outage or isinstance(error, TimedOut):
            self._exhausted.append((turn, verdict, _refused(turn, verdict, error)))
            await self.decide()
        else:
            await self._finish(_refused(turn, verdict, error))

    def _in_outage(self, turn: RowTurn, verdict: Verdict) -> bool:
        if self._health.failure(turn.row.index, rows_left=self._intake.last_turns):
            self._say(
                f"The endpoint answers nobody ({verdict.message}); everyone waits while one row "
                f"probes. No attempts are used up."
            )
            self._give_back()
        if not self._health.is_outage:
            return False
        stop = self._health.give_up()
        if stop is not None:
            self._stop(stop)
        return True

    def _closed_door(
        self, turn: RowTurn, error: AttemptFailed, verdict: Verdict
    ) -> ProviderStopped | None:
        """The stop, when everybody is throttled or times out for too long."""
        if verdict.action is Action.THROTTLED:
            self._tell_end_of_outage()
            self._charged.clear()
            return self._health.throttled()
        if isinstance(error, TimedOut):
            row = turn.row.index
            return self._health.timed_out(row, rows_left=self._intake.last_turns)
        return None

    def _give_back(self) -> None:
        """Undo what the failures that have now turned out to be an outage's were charged."""
        for turn in self._charged:
            turn.history.counted -= 1
        self._charged.clear()
        for turn, verdict, _ in self._exhausted:
            if verdict.outage:
                self._intake.park(turn, 0.0)
        self._exhausted = [one for one in self._exhausted if not one[1].outage]

    def _tell_end_of_outage(self) -> None:
        if self._health.is_outage:
            self._say(f"The endpoint answers again after {self._health.outage_s:.0f} s.")

    async def _decide_by_answer(self, *, refused_too: bool) -> None:
        """The endpoint answers: it was these rows' own fault."""
        self._charged.clear()
        if self._closed or not self.undecided:
            return
        await self._fail_exhausted()
        if refused_too:
            refused, self._refused = self._refused, []
            for _, result in refused:
                await self._finish(result)

    async def _fail_exhausted(self) -> None:
        exhausted, self._exhausted = self._exhausted, []
        for _, _, result in exhausted:
            await self._finish(result)

    async def decide(self) -> None:
        """Decide over held rows by their number; call it when rows have ended or all are read."""
        if self._closed or not self.undecided:
            return
        left = self._intake.last_turns
        alike = Counter((verdict.code, verdict.hint) for verdict, _ in self._refused)
        most = max(alike.values(), default=0)
        if self._refused and (most >= CONFIG_ROWS or left == len(self._refused)):
            self._stop(self._refusal(most_common=alike.most_common(1)[0][0]))
        elif left == len(self._refused) + len(self._exhausted):
            outage = sum(verdict.outage for _, verdict, _ in self._exhausted)
            if self._refused or outage <= 1:
                await self._fail_exhausted()
            else:
                self._give_back()  # as all that are left, they now make an outage or end it

    def _refusal(self, *, most_common: tuple[str | None, str | None]) -> ProviderStopped:
        verdict = next(v for v, _ in self._refused if (v.code, v.hint) == most_common)
        rows = len(self._refused)
        who = "the only row left was" if rows == 1 else f"the first {rows} rows were all"
        return ProviderStopped(
            f"{who} refused: {_with_hint(verdict)}. What was refused stays pending; mend the job "
            f"and start again"
        )


def _is_answer(error: AttemptFailed, verdict: Verdict) -> bool:
    """Whether only a working endpoint brings this. A throttle is one too, told by itself."""
    if verdict.outage or verdict.action is Action.THROTTLED:
        return False
    came = isinstance(error, AnsweredError) or error.partial is not None
    return came or verdict.action in {Action.FAIL, Action.CONFIG}


def _with_hint(verdict: Verdict) -> str:
    return f"{verdict.message} ({verdict.hint})" if verdict.hint else verdict.message


def _refused(turn: RowTurn, verdict: Verdict, error: AttemptFailed) -> Result:
    text = error.text if isinstance(error, IncompleteReply) else ""
    return turn.bill.failed(
        turn.row.index,
        turn.request.key if turn.request is not None else "",
        error_type=verdict.error_type,
        message=verdict.message,
        code=verdict.code,
        request_id=error.request_id if isinstance(error, AnsweredError) else None,
        rejected=error.partial or text or None,
    )
