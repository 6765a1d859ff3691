"""Rows from CSV and TSV files: every cell stays text, and a bad row stays in its place.

The standard library's parser reads them: pyarrow's skips a bad row without telling where it stood,
so that all later positions would be wrong.
"""

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
from runner.dataset.csv_beginning import check_same_header, read_beginning
from runner.errors import DatasetError, MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.dataset.batches import Batch, Spans
    from runner.dataset.csv_records import CsvFormat, Record
    from runner.dataset.sources import Source


class CsvRows:
    """The rows of several CSV files with one header. Raises DatasetError.

    Every column is text, an empty cell is "". Blank lines are no rows. A row with a wrong number
    of fields, or with bytes that the encoding does not know, is flawed: its cells are "", its
    inputs null.
    """

    def __init__(self, sources: Sequence[Source], csv_format: CsvFormat) -> None:
        self._sources = sources
        self._format = csv_format
        self._header, rows, whole = read_beginning(sources[0], csv_format, SAMPLE_BYTES)
        for source in sources[1:]:
            header, found, ended = read_beginning(source, csv_format, SAMPLE_BYTES_LATER)
            check_same_header(sources[0], self._header, source, header)
            rows += found
            whole = whole and ended
        if rows == 0:
            raise DatasetError(f"{sources[0].path}: the dataset has a header, but no rows")
        self.total_rows = rows if whole else None
        self.row_groups: tuple[range, ...] = ()
        folders = [key for source in sources for key, _ in source.parts]
        self.schema = pa.schema(
            [(name, pa.string()) for name in dict.fromkeys([*self._header, *folders])]
        )

    def batches(self, columns: Sequence[str], keep: Sequence[str], spans: Spans) -> Iterator[Batch]:
        """The wanted rows in order. Raises MachineFault where a file cannot be read on."""
        kept = pa.schema([self.schema.field(name) for name in keep])

        def build(source: Source, start: int, records: list[Record]) -> Batch:
            return self._convert(source, start, records, columns, kept)

        self.total_rows = yield from read_text(
            self._sources, self._cursor, build, spans, self.total_rows
        )

    @contextmanager
    def _cursor(self, source: Source) -> Iterator[Cursor[Record]]:
        source.check_unchanged(MachineFault)
        with self._format.opened(source, MachineFault) as records:
            records.read_header()
            yield Cursor(iter(records))

    def _convert(
        self,
        source: Source,
        start: int,
        records: list[Record],
        columns: Sequence[str],
        kept: pa.Schema,
    ) -> Batch:
        flaws = self._flaws(source, records)
        blank = [""] * len(self._header)
        rows = [cells or blank for cells, _, _ in records]
        by_name: dict[str, Sequence[str | None]] = {
            name: [value] * len(rows) for name, value in source.parts
        }
        by_name.update(zip(self._header, zip(*rows, strict=True), strict=True))
        nothing = [None] * len(rows)  # a folder's column that this file is not under
        cells = {name: by_name.get(name, nothing) for name in columns}
        arrays: list[pa.Array[Any]] = [
            pa.array(by_name.get(name, nothing), pa.string()) for name in kept.names
        ]
        return make_batch(start, cells, record_batch(arrays, kept, len(rows)), flaws)

    def _flaws(self, source: Source, records: list[Record]) -> dict[int, str]:
        """Why, by offset, a record is no row. An undecodable one loses its cells here."""
        flaws = {at: text for at, (cells, text, _) in enumerate(records) if cells is None}
        try:
            "".join([raw for _, raw, _ in records]).encode()
        except UnicodeEncodeError:
            for at, (cells, raw, line) in enumerate(records):
                if cells is not None and (flaw := self._format.undecodable(source, raw, line)):
                    flaws[at] = flaw
                    records[at] = (None, flaw, line)
        return flaws
