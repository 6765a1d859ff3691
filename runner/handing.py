"""Results handed to an async iterator as they come, without a run folder."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from runner.connection import connect
from runner.preflight import prepare
from runner.run import Course

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.dataset import Batch
    from runner.job import Job
    from runner.records import Result, Row

_AHEAD = 256  # results that may wait for a slow consumer before workers do


class Handing:
    """A sink that keeps nothing: every result goes to whoever iterates."""

    def __init__(self) -> None:
        self.results: asyncio.Queue[Result | None] = asyncio.Queue(_AHEAD)
        self._closed = asyncio.Event()

    def spans(self, end: int | None) -> list[range]:
        """Everything in scope."""
        return [range(sys.maxsize if end is None else end)]

    async def wait_for_room(self) -> None:
        """Workers wait in `keep`; reading follows them."""

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        """Every row is asked."""
        del end
        return batch.rows

    def before(self, row: int) -> Result | None:
        """Nothing was asked before."""
        del row
        return None

    def end(self, rows: int) -> int:
        """As many rows as were read."""
        return rows

    async def keep(self, result: Result) -> None:
        """Wait until the consumer takes it."""
        await self.results.put(result)

    async def work(self) -> None:
        """Tell the consumer when there is no more."""
        await self._closed.wait()
        await self.results.put(None)

    def close(self) -> None:
        """No more results will come."""
        self._closed.set()


async def stream(
    job: Job, *paths: str, rehearsal: bool = False, providers_file: str | None = None
) -> AsyncIterator[Result]:
    """Ask for every row of the dataset and yield results in the order in which they come.

    Nothing is kept on disk: what the caller drops has to be paid for again. Raises JobError and
    DatasetError before anything is sent, and StopsRun when the provider stops the run.
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
            say=lambda _: None,
        )
        going = asyncio.create_task(course.go())
        try:
            while (result := await _next(handing, going)) is not None:
                yield result
        finally:
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
        if course.reason is not None:
            raise course.reason


async def _next(handing: Handing, going: asyncio.Task[None]) -> Result | None:
    """The next result; None at the end. Raises what the course raised."""
    if handing.results.empty() and going.done():
        await going
        return None
    getting = asyncio.create_task(handing.results.get())
    await asyncio.wait({getting, going}, return_when=asyncio.FIRST_COMPLETED)
    if getting.done():
        return getting.result()
    getting.cancel()
    await going
    return handing.results.get_nowait() if not handing.results.empty() else None
