"""Where does a run stand? What its process has come to so far, told at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.last_word import Before
from runner.summary import Summary
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from runner.controlled import Controlled
    from runner.expected import Expected
    from runner.folder import RunFile
    from runner.keeping import Keeping
    from runner.preflight import Preflight
    from runner.progress import Progress, Rates
    from runner.run import Course
    from runner.spending import Spending


class SoFar:
    """The pieces of one process's work, each from when it is there. Filled in by `running`."""

    def __init__(self, name: str, run: RunFile, flight: Preflight, export: Path | None) -> None:
        self._name = name
        self._flight = flight
        self._export = export
        self.run = run  # as run.json says it, once the process has begun
        self.before = Before()
        self.expected: Expected | None = None
        self.keeping: Keeping | None = None
        self.progress: Progress | None = None
        self.spending: Spending | None = None
        self.controlled: Controlled | None = None
        self.course: Course | None = None

    @property
    def tally(self) -> Tally:
        """All that counts; nothing before earlier results have been read."""
        return self.keeping.tally if self.keeping is not None else Tally()

    @property
    def lost_attempts(self) -> int:
        """Attempts that may be billed and count nowhere, when nothing is on its way any more."""
        unkept = self.course.asking.unkept if self.course is not None else 0
        return unkept + (self.keeping.uncounted if self.keeping is not None else 0)

    @property
    def pilot(self) -> int | None:
        """How many rows are in scope, spread over the dataset; None: it is not a pilot."""
        return None if self.run.pilot is None else len(self.run.pilot)

    @property
    def rows(self) -> int | None:
        """How many rows are in scope; None while the dataset has not been read to its end."""
        if self.run.pilot is not None:
            return len(self.run.pilot)
        return self._flight.rows if self.course is None else self.course.rows

    @property
    def rates(self) -> Rates | None:
        """How fast it goes now; None before it goes."""
        return None if self.progress is None else self.progress.rates()

    def left_s(self) -> float | None:
        """How long the rest will take at this pace; None while unknown, as in a pause."""
        now = self.summary()
        if self.progress is None or now.state != "running":
            return None
        return self.progress.left_s(now.pending)

    def summary(self) -> Summary:
        """Where the run stands now."""
        course, tally, rows, state = self.course, self.tally, self.rows, self._state()
        return Summary(
            run=self._name,
            state=state,
            # A scope narrower than what is done already does not undo it.
            rows=None if rows is None else max(rows, tally.rows),
            tally=tally,
            superseded=self.run.superseded_total(),
            layout=len(self.run.superseded),
            elapsed_s=self.progress.elapsed_s if self.progress else 0.0,
            elapsed_before_s=self.before.elapsed_s,
            rehearsal=self.run.rehearsal,
            pilot=self.pilot,
            estimated=self._estimated(),
            in_flight=course.asking.in_flight if course else 0,
            most_in_flight=course.most_in_flight if course else 0,
            killed_attempts=self.before.killed_attempts,
            parked=course.intake.parked if course else 0,
            export=str(self._export) if self._export else None,
            budget=self.spending.to_json() if self.spending else None,
            limits=course.holding() if course else None,
            limited_by=course.limited_by() if course and state == "running" else None,
            control=self.controlled.answer() if self.controlled else None,
        )

    def _state(self) -> str:
        course = self.course
        if course is not None and course.reason is not None:
            return "draining"
        if course is not None and course.asking.paused:
            return "paused"
        if course is not None and course.health.is_outage:
            return "waiting"
        return "running"

    def _estimated(self) -> dict[str, Any] | None:
        expected = self.expected
        if expected is None or self.pilot is not None or expected.first != self._flight.job.first:
            return None  # it was made of other rows
        return expected.to_json()
