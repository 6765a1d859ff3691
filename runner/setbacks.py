"""What follows from a failed attempt: the row waits, fails, is held undecided, or the run stops.

Held are rows whose failure may be everybody's: failed before anything has succeeded, but for faults
that only a row's own contents bring about, or out of attempts by what may be an outage or a timeout
too short. The next answer, or the lack of one, decides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import AnsweredError, IncompleteReply, ProviderStopped, TimedOut
from runner.health import OUTAGE_ROWS, none_whole
from runner.records import Action

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.errors import AttemptFailed, StopsRun
    from runner.health import Health
    from runner.intake import Intake, Turn
    from runner.records import Result, Verdict
    from runner.retry import Attempts, RetryPolicy

    RowTurn = Turn[Attempts]

_OWN_MODEL = "the rows name it themselves: check that column, and --region"
CONFIG_ROWS = 20  # distinct rows refused before any success; enough to know it is not the data
# What only a row's own contents can bring about, so that it says nothing about the others.
_OWN_FAULTS = frozenset({"content_filter", "context_length", "too_large"})


class Setbacks:
    """Decides over failed attempts, knowing what the others brought. One for all workers."""

    def __init__(
        self,
        *,
        intake: Intake[Attempts],
        health: Health,
        policy: RetryPolicy,
        usual_model: str,
        finish: Callable[[Result], Awaitable[None]],
        stop: Callable[[StopsRun], None],
        say: Callable[[str], None],
    ) -> None:
        self._intake = intake
        self._health = health
        self._policy = policy
        self._usual_model = usual_model
        self._finish = finish
        self._stop = stop
        self._say = say
        self._closed = False
        self._refused: list[tuple[Verdict, Result]] = []  # failed before any success
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
        if self._health.is_well and not (self._charged or self._refused or self._exhausted):
            return  # nothing to make good, as for nearly every reply
        first = not self._health.succeeded_once
        self._tell_end_of_outage()
        self._health.success()
        await self._decide_by_answer(refused_too=first)

    async def meet(self, turn: RowTurn, error: AttemptFailed, verdict: Verdict) -> None:
        """Decide what follows from one failed attempt."""
        if verdict.error_type == "model" and _model_of(turn) != self._usual_model:
            # The row named it by itself: that says nothing about the others.
            verdict = replace(verdict, action=Action.CONFIG, hint=_OWN_MODEL)
        action = verdict.action
        if action is Action.STOP:
            self._stop(ProviderStopped(verdict.with_hint, mend=verdict.mend))
            return
        if _is_answer(error, verdict):
            self._tell_end_of_outage()
            self._health.answered()
            await self._decide_by_answer(refused_too=False)
        if action in (Action.FAIL, Action.CONFIG):
            await self._fail(turn, error, verdict)
        elif not self._closed:  # a row that would be asked again stays pending
            await self._again(turn, error, verdict)

    async def _fail(self, turn: RowTurn, error: AttemptFailed, verdict: Verdict) -> None:
        """The row has failed, unless it may be everybody's fault: before any success it is held."""
        if self._health.succeeded_once or verdict.error_type in _OWN_FAULTS:
            await self._finish(_refused(turn, verdict, error))
        else:
            self._refused.append((verdict, _refused(turn, verdict, error)))
            await self.decide()

    async def _again(self, turn: RowTurn, error: AttemptFailed, verdict: Verdict) -> None:
        if verdict.outage and self._in_outage(turn, error, verdict):
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
            await self._fail(turn, error, verdict)

    def _in_outage(self, turn: RowTurn, error: AttemptFailed, verdict: Verdict) -> bool:
        left = self._intake.last_turns
        if self._health.failure(turn.row.index, rows_left=left, least=_least_rows(verdict)):
            self._say(
                f"The endpoint answers nobody ({error}); everyone waits while one row "
                f"probes. No attempts are used up."
            )
            self._give_back()
        if not self._health.is_outage:
            return False
        stop = self._health.give_up(last=str(error))
        if stop is not None:
            self._stop(stop)
        return True

    def _closed_door(
        self, turn: RowTurn, error: AttemptFailed, verdict: Verdict
    ) -> ProviderStopped | None:
        """The stop, when everybody is throttled, times out or is cut short."""
        if verdict.action is Action.THROTTLED:
            self._tell_end_of_outage()
            self._charged.clear()
            return self._health.throttled()
        row = turn.row.index
        if isinstance(error, TimedOut):
            return self._health.timed_out(row, rows_left=self._intake.last_turns)
        if isinstance(error, IncompleteReply):
            return self._health.cut_short(row, verdict)
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
        held = len(self._refused) + len(self._exhausted)
        if self._refused and (held >= CONFIG_ROWS or left == len(self._refused)):
            self._stop(self._refusal(most_common=alike.most_common(1)[0][0]))
        elif left == held:
            unreached = sum(_is_unreached(verdict) for _, verdict, _ in self._exhausted)
            if self._refused or unreached <= 1:
                await self._fail_exhausted()
            else:
                self._give_back()  # as all that are left, they now make an outage or end it

    def _refusal(self, *, most_common: tuple[str | None, str | None]) -> ProviderStopped:
        verdict = next(v for v, _ in self._refused if (v.code, v.hint) == most_common)
        rows = len(self._refused)
        if all((v.action, v.error_type) == (Action.AGAIN, "incomplete") for v, _ in self._refused):
            return none_whole(rows, verdict)
        who = "the only row left was" if rows == 1 else f"the first {rows} rows were all"
        kinds = len({(one.code, one.message) for one, _ in self._refused})
        others = f" (the commonest of {kinds} reasons)" if kinds > 1 else ""
        return ProviderStopped(
            f"{who} refused: {verdict.with_hint}{others}. What was refused stays pending; mend "
            f"the job and start again",
            mend=verdict.mend,
        )


def _model_of(turn: RowTurn) -> str | None:
    return turn.request.model if turn.request is not None else None


def _is_unreached(verdict: Verdict) -> bool:
    return verdict.error_type == "connection"


def _least_rows(verdict: Verdict) -> int:
    """How many of the last rows make an outage.

    A server that answers 5xx to the last few may mean just these rows: their attempts count, or
    two poison rows at the end would wait for hours. Connections that fail are no row's own fault.
    """
    return 2 if _is_unreached(verdict) else OUTAGE_ROWS


def _is_answer(error: AttemptFailed, verdict: Verdict) -> bool:
    """Whether only a working endpoint brings this. A throttle is one too, told by itself."""
    if verdict.outage or verdict.action is Action.THROTTLED:
        return False
    came = isinstance(error, AnsweredError) or error.partial is not None
    return came or verdict.action in (Action.FAIL, Action.CONFIG)


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
