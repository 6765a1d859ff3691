"""One process's part in a run: the folder's lock, the course, the counts, the end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.beats import Beats
from runner.conclusion import failures_allowed, too_many_failed
from runner.connection import connect
from runner.controlled import Controlled
from runner.deadline import stop_at
from runner.errors import Interrupted, RunFolderError, StopsRun
from runner.event_loop import in_background
from runner.expected import Expected, remember
from runner.filling import filling
from runner.folder import RunFile, run_folder_of
from runner.keeping import Keeping
from runner.last_word import leave, look_back
from runner.progress import Progress
from runner.run import Course
from runner.sharing import Sharing
from runner.so_far import SoFar
from runner.spending import Position, Spending
from runner.status import all_done, summary_of
from runner.stopping import Stopping
from runner.switch import take_up
from runner.tally import Tally
from runner.together import together

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.asked_again import Retry
    from runner.client import Client
    from runner.estimate import Estimate
    from runner.preflight import Preflight
    from runner.progress import Rates
    from runner.providers import Key
    from runner.summary import Summary

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
        self._so_far = SoFar(name, run, flight, self._export)
        self._key = key
        self._say = say
        self._retry = retry
        # A rehearsal asks a server of its own and takes nothing from anyone.
        self._sharing = Sharing(flight.job.limits.share if key is not None else None, say=say)
        self._stopping = Stopping(say, rehearsal=self.rehearsal)

    def expect(self, found: Estimate) -> None:
        """Remember, when it goes, what it was said to cost, to be compared with the bill.

        An estimate that was made of the same rows before is not replaced.
        """
        paid = self._kept_before().cost or 0.0
        self._so_far.expected = Expected.of(found, self.flight.job.first, paid=paid)

    def rows_done(self) -> int:
        """Rows that have a result already, before `go`. Raises MachineFault for damaged ones."""
        return self._kept_before().rows

    def all_done(self) -> Tally | None:
        """What its rows have come to, before `go`, where none is left to ask; else None."""
        if self._fresh or self._retry is not None:
            return None
        return all_done(self._folder, self._so_far.run, self.name, self._so_far.rows)

    def _kept_before(self) -> Tally:
        if self._fresh:
            return Tally()
        return summary_of(self._folder, self._so_far.run, self.name).tally

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
            so_far = self._so_far
            so_far.run = take_up(self._folder, so_far.run)
            if not self._fresh:
                so_far.before = look_back(self._folder, self._say)
            keeping = self._keep()
            try:
                # The budget first: a limit that is refused is not written down.
                so_far.spending = self._open_budget(keeping)
                self._folder.write_run(so_far.run)
                so_far.expected = remember(self._folder, so_far.expected)
                so_far.controlled = Controlled(self._folder, say=self._say)
                with self._stopping.noting():
                    await self._work(keeping, client, so_far.spending)
            finally:
                keeping.release()
            return await self._finish()

    def stop(self, reason: StopsRun | None = None) -> None:
        """Stop sending and let the replies on their way land; a second call gives them up."""
        self._stopping.by_person(reason or Interrupted("interrupted"))

    def _keep(self) -> Keeping:
        keeping = Keeping(
            self._folder,
            self._so_far.run,
            self.flight.inputs,
            retry=self._retry,
            on_count=self._counted,
            say=self._say,
        )
        self._so_far.keeping = keeping
        self._so_far.progress = Progress(keeping.tally)
        return keeping

    def _open_budget(self, keeping: Keeping) -> Spending:
        return Spending(
            self.flight,
            keeping.tally,
            paid_before=self._so_far.run.paid_before,
            lease_file=self._folder.lease,
            stop=self._stopping.let_land,
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
            tell=self._tell,
        )
        self._so_far.course = course
        self._stopping.belongs_to(course)
        self._counted()  # earlier failures may be too many already
        deadline = self.flight.job.limits.deadline
        async with together() as beside:
            others = [
                beside.create_task(self._stopping.beside(self._beats(course).go())),
                beside.create_task(self._stopping.beside(self._hash())),
            ]
            if deadline is not None:
                others.append(beside.create_task(stop_at(deadline, self._stopping.let_land)))
            try:
                await self._sharing.begin(course.lanes, stopping=lambda: course.reason is not None)
                await course.go()
            finally:
                for task in others:
                    task.cancel()

    def _beats(self, course: Course) -> Beats:
        so_far = self._so_far
        assert so_far.controlled is not None  # noqa: S101 - set before the course begins
        assert so_far.progress is not None  # noqa: S101 - likewise
        return Beats(
            self._folder,
            course,
            progress=so_far.progress,
            controlled=so_far.controlled,
            sharing=self._sharing,
            tell=self._tell,
        )

    def _counted(self) -> None:
        """After each group of results: have more rows failed than the user allows?"""
        so_far, max_failed = self._so_far, self.flight.job.limits.max_failed
        failed, course = so_far.tally.failed, so_far.course
        if so_far.spending is not None:
            so_far.spending.landed()
        # Without --max-failed any number is allowed. Rows asked again still count as failed, so
        # with them it has to wait for the end.
        most = failures_allowed(max_failed, so_far.rows, otherwise=float("inf"))
        if course is not None and not self._retry and failed > most:
            course.stop(too_many_failed(failed, max_failed))

    async def _hash(self) -> None:
        """Note the dataset's hash in run.json, where it is not yet known."""
        dataset, so_far = self.flight.dataset, self._so_far
        if so_far.run.digest is None and dataset.total_bytes <= _MOST_HASHED_BYTES:
            digest = await in_background(dataset.digest)
            so_far.run = replace(so_far.run, digest=digest)
            self._folder.write_run(so_far.run)

    @property
    def pilot(self) -> int | None:
        """How many rows are in scope, spread over the dataset; None: it is not a pilot."""
        return self._so_far.pilot

    @property
    def rates(self) -> Rates | None:
        """How fast it goes now; None before it goes."""
        return self._so_far.rates

    def left_s(self) -> float | None:
        """How long the rest will take at this pace; None while unknown, as in a pause."""
        return self._so_far.left_s()

    def snapshot(self) -> Summary:
        """Where the run stands now."""
        return self._so_far.summary()

    def _tell(self) -> None:
        self.snapshot().write(self._folder.summary)

    async def _finish(self) -> Summary:
        so_far, course = self._so_far, self._so_far.course
        if course is not None and course.rows is not None and self.flight.total_rows is None:
            self._note_end(course.rows)
        if so_far.spending is not None:
            with self._stopping.noting():
                so_far.spending.close()
        summary = self.snapshot()
        summary.limits = summary.limited_by = None
        summary.killed_attempts += so_far.lost_attempts
        reason = self._stopping.reason
        await leave(summary, reason, self._folder, so_far.run, self._export, so_far.progress)
        return summary

    def _note_end(self, rows: int) -> None:
        """Remember how long the dataset is, unless only its first rows were read."""
        if self.flight.job.first is None or rows < self.flight.job.first:
            self._so_far.run = self._so_far.run.at_end(rows)
            with suppress(StopsRun):
                self._folder.write_run(self._so_far.run)
