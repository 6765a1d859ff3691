"""A block's inputs and results, all there, become its part, its keys and its record."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import pyarrow as pa

from runner.output import SLICE_ROWS, result_columns, result_schema, slices
from runner.seals import packed
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.records import Result
    from runner.seal_record import SealRecord
    from runner.seals import Seals


class Sealing:
    """One block's way from its results to its part: first `gather` all of it, then `seal`.

    Python does the gathering, slice by slice: on the event loop with other work between. What
    `seal` does is Arrow's and the system's and lets the interpreter go: in a thread. A thread that
    gathered would take the interpreter at each of the loop's system calls, and the loop would wait
    for it at each of its own: half as much CPU again for a whole run, most of it the kernel's.
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
        self._tally = Tally()
        self._unmetered: dict[int, int] = {}  # by row

    def gather(self) -> Iterator[None]:
        """Turn the results into columns, keys and counts; each step is a slice of them."""
        while self._results:
            results = self._results[:SLICE_ROWS]
            del self._results[:SLICE_ROWS]  # a block is not held twice
            self._columns.append(result_columns(results, self._prefix))
            self._keys += packed([result.key for result in results])
            self._ids += packed([result.row_id for result in results])
            for result in results:
                self._tally.add(result)
                if result.unmetered_attempts:
                    self._unmetered[result.row] = result.unmetered_attempts
            yield

    def seal(self, seals: Seals, block: int, inputs: Iterable[pa.RecordBatch]) -> SealRecord:
        """Write it all beside the inputs of the same rows. Raises MachineFault."""
        outputs = pa.Table.from_batches(self._columns, schema=result_schema(self._prefix))
        return seals.seal(
            block,
            self._start,
            slices(inputs, outputs, self._schema),
            bytes(self._keys),
            self._tally,
            self._unmetered,
            bytes(self._ids) if any(self._ids) else b"",
        )


def seal_block(
    seals: Seals,
    block: int,
    inputs: Iterable[pa.RecordBatch],
    results: Sequence[Result],
    schema: pa.Schema,
    prefix: str,
) -> SealRecord:
    """All of it at once, where no event loop is held up. Raises MachineFault."""
    sealing = Sealing(list(results), schema, prefix)
    deque(sealing.gather(), maxlen=0)
    return sealing.seal(seals, block, inputs)
