"""Results handed to an async iterator as they come, without a run folder."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from runner.connection import connect
from runner.deadline import stop_at
from runner.preflight import prepare
from runner.run import Course
from runner.sharing import Sharing
from runner.together import together
from runner.unkept import Unkept

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runner.job import Job
    from runner.records import Result

_AHEAD = 256  # results that may wait for a slow consumer before workers do


class Handing(Unkept):
    """A sink that keeps nothing: every result goes to whoever iterates."""

    def __init__(self) -> None:
        super().__init__()
        self._results: deque[Result] = deque()
        self._news = asyncio.Event()  # a result, or the end
        self._room = asyncio.Event()

    async def next(self) -> Result | None:
        """The next result; None when there will be none any more."""
        while not self._results:
            if self._closed.is_set():
                return None
            self._news.clear()
            await self._news.wait()
        result = self._results.popleft()
        if len(self._results) < _AHEAD:
            self._room.set()
        return result

    async def keep(self, result: Result) -> None:
        """Hand it over, then wait while the consumer is far behind."""
        # In this order, a worker that is given up loses nothing that was paid for.
        self._results.append(result)
        self._news.set()
        self.count(result)
        while len(self._results) >= _AHEAD and not self._closed.is_set():
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """No more results will come."""
        super().close()
        self._news.set()
        self._room.set()


async def stream(
    job: Job, *paths: str, rehearsal: bool = False, providers_file: str | None = None
) -> AsyncGenerator[Result, None]:
    """Ask for every row of the dataset and yield results in the order in which they come.

    Nothing is kept on disk: what the caller drops has to be paid for again. Raises JobError and
    DatasetError before anything is sent, and StopsRun when the provider stops the run or a limit
    of the job's does: money, tokens, failures, the deadline.
    """
    flight = prepare(job, paths, providers_file=providers_file)
    key = None if rehearsal else flight.read_key()
    handing = Handing()
    async with connect(flight, key) as client:
        course = Course(
            flight,
            handing,
            client,
            fill=flight.template.fill,
            columns=flight.template.columns,
            budget=handing.limit(flight),
            say=lambda _: None,
        )
        handing.belongs_to(course)
        # A rehearsal asks a server of its own and takes nothing from anyone.
        sharing = Sharing(job.limits.share if key is not None else None, say=lambda _: None)
        going = asyncio.create_task(_go(course, sharing, job.limits.deadline))
        going.add_done_callback(lambda _: handing.close())
        try:
            while (result := await handing.next()) is not None:
                yield result
            await going
        finally:
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
        if course.reason is not None:
            raise course.reason


async def _go(course: Course, sharing: Sharing, deadline: str | None) -> None:
    with sharing:
        await sharing.begin(course.lanes, stopping=lambda: course.reason is not None)
        async with together() as beside:
            others = [beside.create_task(sharing.keep(course.lanes))]
            if deadline is not None:
                others.append(beside.create_task(stop_at(deadline, course.stop)))
            try:
                await course.go()
            finally:
                for task in others:
                    task.cancel()
