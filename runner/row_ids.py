"""Which row is it, wherever it has moved to? The cell of the id column, in 16 bytes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from runner.part_files import json_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from runner.dataset import Batch
    from runner.records import Row

ID_BYTES = 16
NO_ID = bytes(ID_BYTES)  # of a row that the file's text at its place does not make


def row_id(row: Row, column: str) -> bytes:
    """16 bytes over a row's id: equal for equal ids, whatever format the dataset has.

    So 7 in Parquet and "7" in CSV are one id.
    """
    return NO_ID if row.flaw is not None else _id_of(row.cells[column])


def _id_of(cell: object) -> bytes:
    text = cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else json_text(cell)
    return blake2b(text, digest_size=ID_BYTES).digest()


@dataclass(frozen=True, slots=True)
class DoubleIds:
    """Rows that their id does not tell from earlier ones. Made by `SeenIds`."""

    column: str
    rows: int  # that have the id of an earlier row
    first: int  # of these, and the earlier one beside it
    like: int

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {"column": self.column, "rows": self.rows, "first": self.first, "like": self.like}


class SeenIds:
    """The ids of a dataset's rows from its first one on, 16 bytes each."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._packed = bytearray()

    def add(self, batch: Batch) -> None:
        """The next rows; the id column is among the batch's cells."""
        cells, flaws = batch.cells[self.column], batch.flaws
        self._packed += b"".join(
            NO_ID if at in flaws else _id_of(cell) for at, cell in enumerate(cells)
        )

    def doubles(self) -> DoubleIds | None:
        """The rows with an id that an earlier one has; None where there are none."""
        found: list[tuple[int, int]] = []  # rows and the earlier one beside each
        before, earlier = NO_ID, -1
        for one, row in self._ordered():
            if one == before != NO_ID:
                found.append((row, earlier))
            before, earlier = one, row
        if not found:
            return None
        return DoubleIds(self.column, len(found), *min(found))

    def _ordered(self) -> Iterator[tuple[bytes, int]]:
        """Ids and their rows, equal ones side by side and in order."""
        rows = len(self._packed) // ID_BYTES
        ids = pa.Array.from_buffers(pa.binary(ID_BYTES), rows, [None, pa.py_buffer(self._packed)])
        table = pa.table({"id": ids, "row": pa.array(range(rows), pa.int64())})
        # Arrow sorts them without an object a row.
        ordered = table.sort_by([("id", "ascending"), ("row", "ascending")]).combine_chunks()
        batch = ordered.to_batches()[0]
        packed, places = (_bytes_of(batch.column(name)) for name in ("id", "row"))
        for at, row in enumerate(array("q", places)):
            yield packed[at * ID_BYTES : (at + 1) * ID_BYTES], row


def _bytes_of(values: pa.Array[Any]) -> bytes:
    buffer = values.buffers()[1]
    return b"" if buffer is None else buffer.to_pybytes()


def noting_ids(
    batches: Iterable[Batch], seen: SeenIds, columns: Collection[str]
) -> Iterator[Batch]:
    """The batches with these columns' cells; the ids of their rows are noted first."""
    for batch in batches:
        seen.add(batch)
        yield replace(batch, cells={name: batch.cells[name] for name in columns})
