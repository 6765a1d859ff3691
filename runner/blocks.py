"""Blocks: which are sealed, open or not begun, and which rows that leaves to read and to ask."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.row_ids import ID_BYTES, NO_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from runner.records import Result, Row
    from runner.seal_record import SealRecord

MOST_ROWS = 20_000  # a block's rows at the most: what a straggler may hold back
_PART_BYTES = 8 << 20  # about 8 MB of output a part: few files, and a quick reseal
_LEAST_BLOCKS = 20  # so that parts appear while the run goes on, where rows suffice
_LEAST_ROWS = 64  # fewer are not worth a file
ANSWER_BYTES = 1024  # assumed of an answer and its columns, before any is known


def block_rows_for(input_bytes_per_row: float, total_rows: int | None) -> int:
    """How many rows a block of a new run has."""
    rows = int(_PART_BYTES / (input_bytes_per_row + ANSWER_BYTES))
    if total_rows is not None:
        rows = min(rows, max(_LEAST_ROWS, -(-total_rows // _LEAST_BLOCKS)))
    return max(1, min(rows, MOST_ROWS))


@dataclass(slots=True, eq=False)
class Block:
    """An open block: its inputs as read, its results as they come. Owned by `keeping`."""

    index: int
    start: int  # position of its first row
    stop: int  # one past its last row; lowered when the dataset ends inside
    inputs: list[pa.RecordBatch] = field(default_factory=list)
    rows_read: int = 0
    unanswered: int = 0  # rows read and handed on to be asked, without a result yet
    open_bytes: int = 0  # held in memory, answers to come included; an estimate
    ids: bytearray = field(
        default_factory=bytearray
    )  # 16 bytes a row from `start` on, with an id column
    results: dict[int, Result] = field(default_factory=dict)
    handed_over: bool = False  # complete, and its results are on their way to the part
    changed: bool = False  # holds a result that its part does not
    reaches_beyond: bool = False  # earlier runs, of a wider scope, kept results behind `stop`

    @property
    def is_complete(self) -> bool:
        """Whether every row has been read and has a result, so that it may be sealed, or is being.

        A block that reaches beyond the scope stays open: its part would be without what was kept
        behind it, and the journal is where that lies safely.
        """
        size = self.stop - self.start
        whole = self.rows_read == size == len(self.results) and not self.reaches_beyond
        return whole or self.handed_over

    def add_ids(self, row: int, ids: list[bytes]) -> None:
        """The ids of rows just read, from `row` on; a pilot leaves out what lies before them."""
        missing = row - self.start - len(self.ids) // ID_BYTES
        self.ids += NO_ID * missing + b"".join(ids)

    def id_of(self, row: int) -> str:
        """The id of a row that has been read, as hex."""
        at = (row - self.start) * ID_BYTES
        found = self.ids[at : at + ID_BYTES]
        return found.hex() if found != NO_ID else ""

    def hand_over(self) -> list[Result]:
        """The results in dataset order, and no longer here; the block is complete."""
        results, self.results, self.handed_over = self.results, {}, True
        return [results[row] for row in range(self.start, self.stop)]


def to_read(
    block_rows: int,
    end: int | None,
    sealed: dict[int, SealRecord],
    reopened: Iterable[int],
) -> list[range]:
    """The spans of rows that a run has to read: every block that is not sealed to its end.

    `end`: one past the last row in scope, None while the dataset's length is unknown. `reopened`:
    sealed blocks with rows to be asked again or with newer results in the journal.
    """
    again = set(reopened)
    spans: list[range] = []
    last_known = max(sealed, default=-1)
    block = 0
    while True:
        start = block * block_rows
        if end is not None and start >= end:
            return spans
        stop = start + block_rows if end is None else min(start + block_rows, end)
        if end is None and block > last_known:
            # Nothing is known from here on: one span to wherever the dataset ends.
            _extend(spans, range(start, sys.maxsize))
            return spans
        record = sealed.get(block)
        # A record longer than the scope was sealed under a wider one.
        if record is None or record.rows < stop - start or block in again:
            _extend(spans, range(start, stop))
        block += 1


def _extend(spans: list[range], span: range) -> None:
    if spans and spans[-1].stop == span.start:
        spans[-1] = range(spans[-1].start, span.stop)
    else:
        spans.append(span)


def rows_to_ask(block: Block, rows: Iterable[Row]) -> list[Row]:
    """Of the rows just read, those that have no result yet."""
    return [row for row in rows if row.index not in block.results]
