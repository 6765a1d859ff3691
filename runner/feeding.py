"""How do rows get from the dataset to the workers? In a thread of their own, and ahead of them."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from runner.bill import Bill
from runner.dataset import MAX_ROWS
from runner.intake import Turn
from runner.retry import Attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.dataset import Batch
    from runner.intake import Intake
    from runner.preflight import Preflight
    from runner.records import Row
    from runner.sink import Sink


class Feeding:
    """Reads what the sink wants to be read and hands it on as turns, as room allows."""

    def __init__(
        self,
        flight: Preflight,
        sink: Sink,
        intake: Intake[Attempts],
        *,
        columns: frozenset[str],
        currency: str | None,  # of the bills
        workers: Callable[[], int],  # how many want rows now
    ) -> None:
        self._flight = flight
        self._sink = sink
        self._intake = intake
        self._columns = columns
        self._currency = currency
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self.rows = flight.rows  # in scope; None until the dataset has been read to its end

    async def feed(self) -> None:
        """Return when all has been handed on. Raises StopsRun for what cannot be read on."""
        flight = self._flight
        batches = flight.dataset.batches(
            columns=self._columns, keep=flight.inputs.names, spans=self._sink.spans(flight.end)
        )
        with ThreadPoolExecutor(1, thread_name_prefix="penstock-read") as thread:
            try:
                await self._hand_over(batches, thread)
            finally:
                # The generator may still be running there; it is closed where it runs.
                await asyncio.shield(self._loop.run_in_executor(thread, _close, batches))

    async def _hand_over(self, batches: Iterator[Batch], thread: ThreadPoolExecutor) -> None:
        ahead = deque([self._read_ahead(batches, thread)])
        last_row = 0
        while (batch := await ahead.popleft()) is not None:
            # One turn of the event loop takes over what has been read by then, and in one turn
            # every worker may come for a row.
            while len(ahead) <= self._workers() // MAX_ROWS:
                ahead.append(self._read_ahead(batches, thread))
            await self._sink.wait_for_room(self._workers())
            last_row = batch.start + len(batch.rows)
            self._intake.add([self._turn(row) for row in self._sink.take(batch, self._flight.end)])
            await self._intake.wait_hungry()
        if self.rows is None:
            self.rows = self._sink.end(last_row)
        self._intake.end()

    def _read_ahead(
        self, batches: Iterator[Batch], thread: ThreadPoolExecutor
    ) -> asyncio.Future[Batch | None]:
        ahead = self._loop.run_in_executor(thread, _next, batches)
        # Looked at here too, since nobody waits for it any more once reading has been cancelled.
        ahead.add_done_callback(lambda done: done.cancelled() or done.exception())
        return ahead

    def _turn(self, row: Row) -> Turn[Attempts]:
        before = self._sink.before(row.index)
        currency = self._currency
        bill = Bill(currency) if before is None else Bill.of(before, currency)
        return Turn(row, Attempts(), bill)


def _next(batches: Iterator[Batch]) -> Batch | None:
    batch = next(batches, None)
    if batch is not None:
        _ = batch.rows  # made here rather than on the event loop
    return batch


def _close(batches: Iterator[Batch]) -> None:
    with suppress(AttributeError):
        batches.close()  # type: ignore[attr-defined]  # a generator has it
