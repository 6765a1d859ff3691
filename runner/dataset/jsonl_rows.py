"""Rows from JSONL files: one JSON object a line, columns typed by the files' beginnings."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from runner.dataset.batches import (
    SAMPLE_BYTES,
    SAMPLE_BYTES_LATER,
    Cursor,
    make_batch,
    read_text,
    record_batch,
)
from runner.dataset.jsonl_lines import parse, read_lines, show_line
from runner.dataset.jsonl_types import ColumnTypes, to_array, unfit
from runner.dataset.sources import told
from runner.errors import DatasetError, MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.dataset.batches import Batch, Spans
    from runner.dataset.jsonl_lines import Line
    from runner.dataset.sources import Source


class JsonlRows:
    """The rows of several JSONL files. Raises DatasetError.

    Columns and their types come from the first megabyte (and 64 KB of each further file): text,
    int64, float64 and bool stay typed, everything else is JSON text. A key that appears only later
    is no column. A missing key is null. A line that is no JSON object, or with a cell to keep that
    does not fit its column's type, is flawed: its cells are "", its inputs null. Otherwise cells
    hold the values as they stand in the file, nested ones too.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        types = ColumnTypes()
        rows, whole = 0, True
        for number, source in enumerate(sources):
            found, ended = _read_beginning(
                source, SAMPLE_BYTES_LATER if number else SAMPLE_BYTES, types
            )
            rows += found
            whole = whole and ended
        if rows == 0:
            raise DatasetError(f"{sources[0].path}: the dataset has no rows")
        self.total_rows = rows if whole else None
        self.row_groups: tuple[range, ...] = ()
        fields = types.found()
        for source in sources:
            for key, _ in source.parts:
                fields.setdefault(key, pa.string())
        if not fields:
            raise DatasetError(f"{sources[0].path}: its objects are empty, there is no column")
        self.schema = pa.schema(list(fields.items()))

    def batches(self, columns: Sequence[str], keep: Sequence[str], spans: Spans) -> Iterator[Batch]:
        """The wanted rows in order. Raises MachineFault where a file cannot be read on."""
        kept = pa.schema([self.schema.field(name) for name in keep])

        def build(source: Source, start: int, lines: list[Line]) -> Batch:
            return _convert(source, start, lines, columns, kept)

        self.total_rows = yield from read_text(
            self._sources, _cursor, build, spans, self.total_rows
        )


@contextmanager
def _cursor(source: Source) -> Iterator[Cursor[Line]]:
    source.check_unchanged(MachineFault)
    with told(source, MachineFault):
        file = source.open_bytes()
    with file:
        yield Cursor(read_lines(file))


def _read_beginning(source: Source, sample_bytes: int, types: ColumnTypes) -> tuple[int, bool]:
    """How many rows the file's beginning has, and whether it is the whole file."""
    source.check_text()
    rows = size = 0
    with told(source, DatasetError), source.open_bytes() as file:
        for line in read_lines(file):
            item = parse(line)
            if isinstance(item, str):
                raise DatasetError(
                    f"{_flaw(source, line, item)}\n"
                    "A .jsonl file has one JSON object a line, in UTF-8."
                )
            types.add(item)
            rows += 1
            size += len(line[1])
            if size >= sample_bytes:
                return rows, False
    return rows, True


def _convert(
    source: Source, start: int, lines: list[Line], columns: Sequence[str], kept: pa.Schema
) -> Batch:
    parts: dict[str, Any] = dict(source.parts)
    flaws: dict[int, str] = {}
    items: list[dict[str, Any]] = []
    for at, line in enumerate(lines):
        item = parse(line)
        if isinstance(item, str):
            flaws[at] = _flaw(source, line, item)
            item = {}
        items.append({**parts, **item} if parts else item)
    arrays: list[pa.Array[Any]] = []
    for field in kept:
        values = [item.get(field.name) for item in items]
        array = to_array(values, field.type)
        if array is None:
            why = (
                f"has no {field.type} in column '{field.name}', as the file's beginning has; "
                "change the value, or leave the column out with --keep"
            )
            for at in unfit(values, field.type):
                values[at] = None
                flaws.setdefault(at, _flaw(source, lines[at], why))
            array = pa.array(values, field.type)
        arrays.append(array)
    cells = {name: [item.get(name) for item in items] for name in columns}
    return make_batch(start, cells, record_batch(arrays, kept, len(lines)), flaws)


def _flaw(source: Source, line: Line, why: str) -> str:
    return f"line {line[2]} of {source.path} {why}: {show_line(line)}"
