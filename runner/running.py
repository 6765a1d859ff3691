"""One process's part in a run: the folder's lock, the course, the counts, the end."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.beats import Beats
from runner.conclusion import conclude, failures_allowed, too_many_failed
from runner.connection import connect
from runner.controlled import Controlled
from runner.counted import counted
from runner.deadline import stop_at
from runner.errors import BudgetReached, Interrupted, MachineFault, RunFolderError, StopsRun
from runner.event_loop import in_background
from runner.expected import Expected, remember
from runner.export import export
from runner.filling import filling
from runner.folder import RunFile, run_folder_of
from runner.keeping import Keeping
from runner.progress import Progress
from runner.run import Course
from runner.sharing import Sharing
from runner.spending import Position, Spending
from runner.status import summary_of
from runner.summary import Summary
from runner.switch import take_up
from runner.tally import Tally
from runner.together import together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from runner.asked_again import Retry
    from runner.client import Client
    from runner.estimate import Estimate
    from runner.preflight import Preflight
    from runner.progress import Rates
    from runner.providers import Key

# A dataset up to this size is hashed while the run goes on, so that a file that was only touched
# is known again; larger ones are known by size and time alone.
_MOST_HASHED_BYTES = 4 << 30


class Run:
    """A job over a dataset in its run folder. Made by `begin` and `go_on`; `go` is called once."""

    def __init__(
        self,
        name: str,
        run: RunFile,
        flight: Preflight,
        *,
        key: Key | None,  # None: a rehearsal
        say: Callable[[str], None],
        retry: Retry | None = None,
    ) -> None:
        self.name = name  # as the user gave it: what RUN means in other commands
        self.flight = flight
        self.rehearsal = run.rehearsal
        self._folder, self._export = run_folder_of(name)
        self._fresh = not self._folder.exists()
        self._run = run
        self._key = key
        self._say = say
        self._retry = retry
        # A rehearsal asks a server of its own and takes nothing from anyone.
        self._sharing = Sharing(flight.job.limits.share if key is not None else None, say=say)
        self._course: Course | None = None
        self._keeping: Keeping | None = None
        self._spending: Spending | None = None
        self._progress: Progress | None = None
        self._controlled: Controlled | None = None
        self._stopped: StopsRun | None = None
        self._expected: Expected | None = None
        self._elapsed_before_s = 0.0  # in the processes before
        self._killed_attempts = 0
        self._stop_at_once: StopsRun | None = None  # told to before there was a course

    def expect(self, found: Estimate) -> None:
        """Remember, when it goes, what it was said to cost, to be compared with the bill.

        An estimate that was made of the same rows before is not replaced.
        """
        self._expected = Expected.of(found, self.flight.job.first, paid=self._paid())

    def _paid(self) -> float:
        if self._fresh:
            return 0.0
        return summary_of(self._folder, self._run, self.name).tally.cost or 0.0

    def rows_done(self) -> int:
        """Rows that have a result already, before `go`. Raises MachineFault for damaged ones."""
        if self._fresh:
            return 0
        return summary_of(self._folder, self._run, self.name).tally.rows

    async def go(self) -> Summary:
        """Ask what is left to ask and keep the answers; how it ended.

        Raises Refused when it cannot begin and MachineFault when earlier results are damaged.
        """
        # The way out first: where there is none, nothing is made on disk.
        async with connect(self.flight, self._key) as client:
            with self._sharing:
                return await self._go(client)

    async def _go(self, client: Client) -> Summary:
        if self._fresh:
            self._folder.prepare()
        with self._folder.lock():
            if self._fresh and self._folder.exists():
                raise RunFolderError(f"{self.name} has just been started by another process")
            if not self._fresh:
                self._folder.check_whole(self._folder.read_run())
            self._run = take_up(self._folder, self._run)
            self._look_back()
            keeping = self._keep()
            try:
                # The budget first: a limit that is refused is not written down.
                self._spending = self._open_budget(keeping)
                self._folder.write_run(self._run)
                self._expected = remember(self._folder, self._expected)
                self._controlled = Controlled(self._folder, say=self._say)
                with self._noting_what_stops():
                    await self._work(keeping, client, self._spending)
            finally:
                keeping.release()
            return await self._finish()

    def _look_back(self) -> None:
        """What the process before left: how long it took, and what it was killed with."""
        before = None if self._fresh else Summary.read(self._folder.summary)
        if before is None:
            return
        self._elapsed_before_s = before.elapsed_s + before.elapsed_before_s
        self._killed_attempts = before.killed_by_now()
        if self._killed_attempts > before.killed_attempts:
            self._say(
                f"The process before ended without a last word. When it last told, about "
                f"{counted(before.in_flight, 'reply was', 'replies were')} on the way: those that "
                f"did not land may be billed, and are asked again."
            )

    @contextmanager
    def _noting_what_stops(self) -> Iterator[None]:
        try:
            yield
        except StopsRun as fault:
            self._stopped = self._stopped or fault

    def stop(self, reason: StopsRun | None = None) -> None:
        """Stop sending and let the replies on their way land; a second call gives them up."""
        if self._course is None:
            self._stop_at_once = reason or Interrupted("interrupted")
            return
        if self._course.reason is None:
            self._course.stop(reason or Interrupted("interrupted"))
        else:
            given_up = self._course.asking.in_flight
            if given_up:
                replies = counted(given_up, "reply")
                self._say(f"Giving up {replies} on the way; the provider may bill that.")
            self._course.stop_now()

    def _limit_reached(self, reason: BudgetReached) -> None:
        """Stop, unless it is stopping already: unlike a person, a limit is never impatient."""
        if self._course is not None:
            self._course.stop(reason)

    def _keep(self) -> Keeping:
        self._keeping = Keeping(
            self._folder,
            self._run,
            self.flight.inputs,
            retry=self._retry,
            on_count=self._counted,
            say=self._say,
        )
        self._progress = Progress(self._keeping.tally)
        return self._keeping

    def _open_budget(self, keeping: Keeping) -> Spending:
        return Spending(
            self.flight,
            keeping.tally,
            paid_before=self._run.paid_before,
            lease_file=self._folder.lease,
            stop=self._limit_reached,
            position=lambda: Position(keeping.tally.rows, self.snapshot().pending),
        )

    async def _work(self, keeping: Keeping, client: Client, spending: Spending) -> None:
        fill, columns = filling(self.flight, self._retry, keeping.replaced)
        course = Course(
            self.flight,
            keeping,
            client,
            fill=fill,
            columns=columns,
            budget=spending if spending.is_limited else None,
            say=self._say,
            lost=spending.lost,
        )
        self._course = course
        if self._stop_at_once is not None:
            course.stop(self._stop_at_once)
        self._counted()  # earlier failures may be too many already
        deadline = self.flight.job.limits.deadline
        async with together() as beside:
            others = [
                beside.create_task(self._landing(course, self._beats(course).go())),
                beside.create_task(self._landing(course, self._hash())),
            ]
            if deadline is not None:
                others.append(beside.create_task(stop_at(deadline, self._limit_reached)))
            try:
                await self._sharing.begin(course.lanes, stopping=lambda: course.reason is not None)
                await course.go()
            finally:
                for task in others:
                    task.cancel()

    async def _landing(self, course: Course, work: Awaitable[None]) -> None:
        """Of a fault beside the course the run ends too, but what is on its way can be kept."""
        with self._noting_what_stops():
            try:
                await work
            except MachineFault as fault:
                course.stop(fault)
                raise

    def _beats(self, course: Course) -> Beats:
        assert self._controlled is not None  # noqa: S101 - set before the course begins
        assert self._progress is not None  # noqa: S101 - likewise
        return Beats(
            self._folder,
            course,
            progress=self._progress,
            controlled=self._controlled,
            sharing=self._sharing,
            snapshot=self.snapshot,
        )

    def _counted(self) -> None:
        """After each group of results: have more rows failed than the user allows?"""
        tally, course = self._tally(), self._course
        if self._spending is not None:
            self._spending.landed()
        # Rows asked again still count as failed, so --max-failed has to wait for the end.
        if course is None or self._retry or tally.failed <= self._most_failures():
            return
        course.stop(too_many_failed(tally.failed, self.flight.job.limits.max_failed))

    def _most_failures(self) -> float:
        """How many failed rows do not stop the run: without --max-failed, any number."""
        return failures_allowed(
            self.flight.job.limits.max_failed, self._rows(), otherwise=float("inf")
        )

    def _tally(self) -> Tally:
        return self._keeping.tally if self._keeping is not None else Tally()

    def _estimated(self) -> dict[str, Any] | None:
        expected = self._expected
        if expected is None or self.pilot is not None or expected.first != self.flight.job.first:
            return None  # it was made of other rows
        return expected.to_json()

    @property
    def pilot(self) -> int | None:
        """How many rows are in scope, spread over the dataset; None: it is not a pilot."""
        return None if self._run.pilot is None else len(self._run.pilot)

    def _rows(self) -> int | None:
        if self._run.pilot is not None:
            return len(self._run.pilot)
        return self.flight.rows if self._course is None else self._course.rows

    async def _hash(self) -> None:
        """Note the dataset's hash in run.json, where it is not yet known."""
        dataset = self.flight.dataset
        if self._run.digest is None and dataset.total_bytes <= _MOST_HASHED_BYTES:
            digest = await in_background(dataset.digest)
            self._run = replace(self._run, digest=digest)
            self._folder.write_run(self._run)

    @property
    def rates(self) -> Rates | None:
        """How fast it goes now; None before it goes."""
        return None if self._progress is None else self._progress.rates()

    def left_s(self) -> float | None:
        """How long the rest will take at this pace; None while unknown, as in a pause."""
        now = self.snapshot()
        if self._progress is None or now.state != "running":
            return None
        return self._progress.left_s(now.pending)

    def snapshot(self) -> Summary:
        """Where the run stands now."""
        course, progress, tally = self._course, self._progress, self._tally()
        rows = self._rows()
        state = "running"
        if course is not None and course.reason is not None:
            state = "draining"
        elif course is not None and course.asking.paused:
            state = "paused"
        elif course is not None and course.health.is_outage:
            state = "waiting"
        return Summary(
            run=self.name,
            state=state,
            # A scope narrower than what is done already does not undo it.
            rows=None if rows is None else max(rows, tally.rows),
            tally=tally,
            superseded=self._run.superseded_total(),
            layout=len(self._run.superseded),
            elapsed_s=progress.elapsed_s if progress else 0.0,
            elapsed_before_s=self._elapsed_before_s,
            rehearsal=self.rehearsal,
            pilot=self.pilot,
            estimated=self._estimated(),
            in_flight=course.asking.in_flight if course else 0,
            killed_attempts=self._killed_attempts,
            parked=course.intake.parked if course else 0,
            export=str(self._export) if self._export else None,
            budget=self._spending.to_json() if self._spending else None,
            limits=course.holding() if course else None,
            limited_by=course.limited_by() if course and state == "running" else None,
            control=self._controlled.answer() if self._controlled else None,
        )

    async def _finish(self) -> Summary:
        course = self._course
        if course is not None and course.rows is not None and self.flight.total_rows is None:
            self._note_end(course.rows)
        if self._spending is not None:
            with self._noting_what_stops():
                self._spending.close()
        summary = self.snapshot()
        summary.limits = summary.limited_by = None
        summary.killed_attempts += course.unkept_attempts if course else 0
        reason = self._stopped or (course.reason if course else None)
        conclude(summary, reason, self.flight.job)
        if self._export is not None and summary.tally.rows:
            try:
                await asyncio.to_thread(
                    export, self._folder, self._run, self._export, overwrite=True
                )
            except StopsRun as fault:
                # Whatever it was, the file that was asked for is not there.
                conclude(summary, MachineFault(str(fault)), self.flight.job)
        with suppress(StopsRun):  # the disk may be what stopped it; the caller still gets to know
            summary.write(self._folder.summary)
            if self._progress is not None:
                self._progress.append_measure(self._folder.measures)
        return summary

    def _note_end(self, rows: int) -> None:
        """Remember how long the dataset is, unless only its first rows were read."""
        if self.flight.job.first is None or rows < self.flight.job.first:
            self._run = self._run.at_end(rows)
            with suppress(StopsRun):
                self._folder.write_run(self._run)
