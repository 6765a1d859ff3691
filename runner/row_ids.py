"""Which row is it, wherever it has moved to? The cell of the id column, in 16 bytes."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from runner.part_files import json_text

if TYPE_CHECKING:
    from runner.records import Row

ID_BYTES = 16
NO_ID = bytes(ID_BYTES)  # of a row that the file's text at its place does not make


def row_id(row: Row, column: str) -> bytes:
    """16 bytes over a row's id: equal for equal ids, whatever format the dataset has.

    So 7 in Parquet and "7" in CSV are one id.
    """
    if row.flaw is not None:
        return NO_ID
    cell = row.cells[column]
    text = cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else json_text(cell)
    return blake2b(text, digest_size=ID_BYTES).digest()
