"""Rows from Parquet, CSV and JSONL, streamed: the face of the dataset, whatever its format.

The parts behind it: `sources` (which files), `batches` (what is handed on), `parquet_rows`,
`csv_rows` and `jsonl_rows` (one a format).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runner.dataset.batches import Batch, Spans
from runner.dataset.csv_records import CsvFormat
from runner.dataset.csv_rows import CsvRows
from runner.dataset.jsonl_rows import JsonlRows
from runner.dataset.parquet_rows import ParquetRows
from runner.dataset.row_growth import bytes_per_line, growth
from runner.dataset.sources import digest, find_sources, told
from runner.errors import DatasetError, MachineFault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pyarrow as pa

    from runner.dataset.sources import Kind, Source

__all__ = ["Batch", "Dataset", "open_dataset"]


class _Format(Protocol):
    schema: pa.Schema
    total_rows: int | None
    row_groups: tuple[range, ...]

    def batches(
        self, columns: Sequence[str], keep: Sequence[str], spans: Spans
    ) -> Iterator[Batch]: ...


class Dataset:
    """Files read as one sequence of rows, positions counted over all of them. From `open_dataset`.

    Columns: Parquet footers unified; CSV as text; JSONL typed by the files' beginnings, where a key
    that appears only later is no column. Folders called key=value become text columns.
    """

    def __init__(self, sources: Sequence[Source], rows: _Format) -> None:
        self._sources = sources
        self._rows = rows
        self.paths: tuple[str, ...] = tuple(source.path for source in sources)  # in reading order
        self.kind: Kind = sources[0].kind
        self.schema: pa.Schema = rows.schema  # all input columns
        self.total_bytes = sum(source.size for source in sources)  # as they lie on disk

    @property
    def total_rows(self) -> int | None:
        """How many rows there are; None for text files that have not been read to their end."""
        return self._rows.total_rows

    @property
    def row_groups(self) -> tuple[range, ...]:
        """Rows whose beginning can be read without what is before them; none of text files."""
        return self._rows.row_groups

    def batches(
        self, *, columns: Collection[str], keep: Sequence[str], spans: Sequence[range]
    ) -> Iterator[Batch]:
        """The rows inside `spans`, in order; blocking, for a thread.

        `columns` become Python values in `Row.cells`, `keep` stays Arrow in `Batch.inputs`. Spans
        are sorted and disjoint, the last may reach to sys.maxsize; no batch crosses a gap between
        them. A batch has at most 1,024 rows and about 1 MB; a larger row is a batch of its own.
        Raises DatasetError for an unknown column, MachineFault for a file that changed, is damaged
        or cannot be read on.
        """
        for name in (*columns, *keep):
            if name not in self.schema.names:
                raise DatasetError(
                    f"{self.paths[0]} has no column '{name}'; it has: "
                    + ", ".join(self.schema.names)
                )
        return self._rows.batches(tuple(dict.fromkeys(columns)), tuple(keep), Spans(spans))

    def growth(self) -> float:
        """How many times as large as the first rows those of the dearest tenth are, at least 1.

        Estimated: of Parquet files from the footers, of plain text from windows spread over it, of
        compressed text 1. Raises DatasetError.
        """
        if isinstance(self._rows, ParquetRows):
            return growth(self._rows.bytes_per_row)
        return growth(bytes_per_line(self._sources))

    def stamp(self) -> list[dict[str, Any]]:
        """Absolute path, size in bytes and mtime in nanoseconds of each file, when it was opened.

        Equal stamps need no `digest`.
        """
        return [
            {
                "path": str(Path(source.path).absolute()),
                "size": source.size,
                "mtime_ns": source.mtime_ns,
            }
            for source in self._sources
        ]

    def digest(self) -> str:
        """SHA-256 over the files' contents in order, as hex digits; blocking, reads everything."""
        self._check_unchanged()
        with told(self._sources[0], MachineFault):
            found = digest(self._sources)
        self._check_unchanged()  # nor while it was read: the stamp would be of other contents
        return found

    def _check_unchanged(self) -> None:
        for source in self._sources:
            source.check_unchanged(MachineFault)


def open_dataset(
    paths: Sequence[str], *, csv_delimiter: str = ",", csv_encoding: str = "utf-8"
) -> Dataset:
    """The dataset in `paths`: files, folders or glob patterns, all of one kind.

    Reads Parquet footers, and of text files the first megabyte (of further files the first 64 KB);
    DatasetError says what is wrong with them and what to do.
    """
    csv_format = CsvFormat.of(csv_delimiter, csv_encoding)
    sources = find_sources(paths)
    rows: _Format
    if sources[0].kind == "parquet":
        rows = ParquetRows(sources)
    elif sources[0].kind == "csv":
        rows = CsvRows(sources, csv_format)
    else:
        rows = JsonlRows(sources)
    return Dataset(sources, rows)
