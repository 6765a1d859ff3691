"""A block's inputs and results, all there, become its part, its keys and its record."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import pyarrow as pa

from runner.counted import counted
from runner.errors import MachineFault
from runner.output import SLICE_ROWS, result_columns, result_schema, slices
from runner.seals import packed
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.records import Result
    from runner.seal_record import SealRecord
    from runner.seals import Seals

_LEAST_STRETCH_S = 0.002  # at a time, while the event loop has little else to do


class Sealing:
    """One block's way from its results to its part: first `gather` all of it, then `seal`.

    Python does the gathering, slice by slice: on the event loop with other work between. What
    `seal` does for a Parquet part is Arrow's and the system's and lets the interpreter go: in a
    thread. A thread that gathered would take the interpreter at each of the loop's system calls,
    and the loop would wait for it at each of its own. (CSV with nested cells and JSON lines are
    written by Python, there too.)
    """

    def __init__(self, results: list[Result], schema: pa.Schema, prefix: str) -> None:
        """`results` are those of all its rows, in order; `gather` empties the list."""
        self._results = results
        self._start = results[0].row
        self._schema = schema
        self._prefix = prefix
        self._columns: list[pa.RecordBatch] = []
        self._keys = bytearray()
        self._ids = bytearray()
        self._has_ids = False
        self._tally = Tally()
        self._unmetered: dict[int, int] = {}  # by row

    def gather(self) -> Iterator[None]:
        """Turn the results into columns, keys and counts; each step is a slice of them."""
        while self._results:
            results = self._results[:SLICE_ROWS]
            del self._results[:SLICE_ROWS]  # a block is not held twice
            self._columns.append(result_columns(results, self._prefix))
            self._keys += packed([result.key for result in results])
            ids = [result.row_id for result in results]
            self._has_ids = self._has_ids or any(ids)
            self._ids += packed(ids)
            for result in results:
                self._tally.add(result)
                if result.unmetered_attempts:
                    self._unmetered[result.row] = result.unmetered_attempts
            yield

    async def gather_between(self) -> None:
        """`gather` with other work of the event loop between.

        At a stretch as long as all others took since the last one: that keeps step with them when
        a turn of the loop brings thousands of answers, and takes no more than half of its time.
        """
        clock = asyncio.get_running_loop().time
        began_s, stretch_s = clock(), _LEAST_STRETCH_S
        for _ in self.gather():
            left_s = clock()
            if left_s - began_s >= stretch_s:
                await asyncio.sleep(0)
                began_s = clock()
                stretch_s = max(_LEAST_STRETCH_S, began_s - left_s)

    def seal(self, seals: Seals, block: int, inputs: Iterable[pa.RecordBatch]) -> SealRecord:
        """Write it all beside the inputs of the same rows. Raises MachineFault."""
        return seals.seal(
            block,
            self._start,
            self._tables(inputs),
            bytes(self._keys),
            self._tally,
            self._unmetered,
            bytes(self._ids) if self._has_ids else b"",
        )

    def seal_journalled(
        self, seals: Seals, block: int, inputs: Sequence[pa.RecordBatch]
    ) -> SealRecord:
        """`seal`, where the journal holds the results too; a fault says so."""
        try:
            return self.seal(seals, block, inputs)
        except MachineFault as fault:
            size = counted(seals.part_bytes(self._tables(inputs)), "byte")
            raise MachineFault(
                f"{fault}. Its answers are safe in the journal; the part needs about {size}"
            ) from fault

    def _tables(self, inputs: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        outputs = pa.Table.from_batches(self._columns, schema=result_schema(self._prefix))
        return slices(inputs, outputs, self._schema)


def seal_block(
    seals: Seals,
    block: int,
    inputs: Iterable[pa.RecordBatch],
    results: list[Result],
    schema: pa.Schema,
    prefix: str,
) -> SealRecord:
    """All of it at once, where no event loop is held up. Raises MachineFault."""
    sealing = Sealing(results, schema, prefix)
    deque(sealing.gather(), maxlen=0)
    return sealing.seal(seals, block, inputs)
