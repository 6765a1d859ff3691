"""One process's part in a run: the folder's lock, the course, the counts, the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.conclusion import conclude, failures_allowed
from runner.connection import connect
from runner.errors import BudgetReached, Interrupted, RunFolderError, StopsRun
from runner.export import export
from runner.folder import RunFile, run_folder_of
from runner.keeping import Keeping
from runner.progress import Progress
from runner.run import Course
from runner.summary import Summary
from runner.tally import Tally
from runner.template import compile_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.asked_again import Retry
    from runner.preflight import Preflight
    from runner.progress import Rates
    from runner.providers import Key
    from runner.records import Request, Result, Row

WATCH_S = 1.0  # how often a running run's counts are written for `status`
_MEASURE_EVERY = 5  # of these, for measures.jsonl
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
        self._course: Course | None = None
        self._keeping: Keeping | None = None
        self._progress: Progress | None = None
        self._stopped: StopsRun | None = None

    async def go(self) -> Summary:
        """Ask what is left to ask and keep the answers; how it ended.

        Raises Refused when it cannot begin and MachineFault when earlier results are damaged.
        """
        self._folder.prepare()
        with self._folder.lock():
            if self._fresh and self._folder.exists():
                raise RunFolderError(f"{self.name} has just been started by another process")
            self._folder.write_run(self._run)
            keeping = self._keep()
            try:
                await self._work(keeping)
            except StopsRun as fault:
                self._stopped = fault
            finally:
                keeping.release()
            return await self._finish()

    def stop(self, reason: StopsRun | None = None) -> None:
        """Stop sending and let the replies on their way land; a second call gives them up."""
        if self._course is None:
            return
        if self._course.reason is None:
            self._course.stop(reason or Interrupted("interrupted"))
        else:
            self._course.stop_now()

    def _keep(self) -> Keeping:
        retry = self._retry
        self._keeping = Keeping(
            self._folder,
            self._run,
            self.flight.inputs,
            retry=retry.takes if retry else _nothing,
            retry_kinds=retry.kinds if retry else (),
            on_count=self._counted,
            say=self._say,
        )
        self._progress = Progress(self._keeping.tally)
        return self._keeping

    async def _work(self, keeping: Keeping) -> None:
        flight = self.flight
        async with connect(flight, self._key) as client:
            fill, columns = self._filling(keeping)
            self._course = Course(
                flight, keeping, client, fill=fill, columns=columns, say=self._say
            )
            async with asyncio.TaskGroup() as beside:
                watching = beside.create_task(self._watch())
                hashing = beside.create_task(self._hash())
                try:
                    await self._course.go()
                finally:
                    watching.cancel()
                    hashing.cancel()

    def _filling(self, keeping: Keeping) -> tuple[Callable[[Row], Request], frozenset[str]]:
        """How rows become requests: those asked again may have settings of their own."""
        usual = self.flight.template
        if self._retry is None or self._retry.job is None:
            return usual.fill, usual.columns
        again = compile_template(
            self._retry.job,
            self.flight.dataset.schema.names,
            default_model=self.flight.endpoint.default_model,
        )

        def fill(row: Row) -> Request:
            template = usual if keeping.before(row.index) is None else again
            return template.fill(row)

        return fill, usual.columns | again.columns

    def _counted(self) -> None:
        """After each group of results: have more rows failed than the user allows?"""
        tally, course = self._tally(), self._course
        if course is None or tally.failed <= self._most_failures():
            return
        limit = self.flight.job.limits.max_failed
        course.stop(
            BudgetReached(f"{tally.failed:,} rows have failed, more than --max-failed {limit}")
        )

    def _most_failures(self) -> float:
        """How many failed rows do not stop the run: without --max-failed, any number."""
        return failures_allowed(
            self.flight.job.limits.max_failed, self._rows(), otherwise=float("inf")
        )

    def _tally(self) -> Tally:
        return self._keeping.tally if self._keeping is not None else Tally()

    def _rows(self) -> int | None:
        return self.flight.rows if self._course is None else self._course.rows

    async def _watch(self) -> None:
        """Write the counts now and then, for `status` and `report`."""
        assert self._progress is not None  # noqa: S101 - set before the course begins
        beat = 0
        while True:
            self.snapshot().write(self._folder.summary)
            if beat % _MEASURE_EVERY == 0:
                self._progress.append_measure(self._folder.measures)
            await asyncio.sleep(WATCH_S)
            self._progress.mark()
            beat += 1

    async def _hash(self) -> None:
        """Note the dataset's hash in run.json, where it is not yet known."""
        dataset = self.flight.dataset
        if self._run.digest is None and dataset.total_bytes <= _MOST_HASHED_BYTES:
            digest = await asyncio.to_thread(dataset.digest)
            self._run = replace(self._run, digest=digest)
            self._folder.write_run(self._run)

    @property
    def rates(self) -> Rates | None:
        """How fast it goes now; None before it goes."""
        return None if self._progress is None else self._progress.rates()

    def left_s(self) -> float | None:
        """How long the rest will take at this pace; None while unknown."""
        return None if self._progress is None else self._progress.left_s(self.snapshot().pending)

    def snapshot(self) -> Summary:
        """Where the run stands now."""
        course, progress = self._course, self._progress
        state = "running"
        if course is not None and course.reason is not None:
            state = "draining"
        elif course is not None and course.health.is_outage:
            state = "waiting"
        return Summary(
            run=self.name,
            state=state,
            rows=self._rows(),
            tally=self._tally(),
            elapsed_s=progress.elapsed_s if progress else 0.0,
            rehearsal=self.rehearsal,
            in_flight=course.asking.in_flight if course else 0,
            parked=course.intake.parked if course else 0,
            export=str(self._export) if self._export else None,
        )

    async def _finish(self) -> Summary:
        course = self._course
        reason = self._stopped or (course.reason if course else None)
        if course is not None and course.rows is not None and self.flight.total_rows is None:
            self._note_end(course.rows)
        summary = self.snapshot()
        conclude(summary, reason, self.flight.job)
        if self._export is not None and summary.tally.rows:
            try:
                await asyncio.to_thread(export, self._folder, self._run, self._export)
            except StopsRun as fault:
                conclude(summary, fault, self.flight.job)
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


def _nothing(result: Result) -> bool:
    del result
    return False
