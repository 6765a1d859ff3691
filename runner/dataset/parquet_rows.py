"""Rows from Parquet files: one row group at a time, and only the groups that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from runner.dataset.batches import MAX_BYTES, MAX_ROWS, make_batch, record_batch
from runner.dataset.parquet_footers import opened, read_footer, unify
from runner.dataset.sources import told
from runner.errors import DatasetError, MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.parquet as pq

    from runner.dataset.batches import Batch, Spans
    from runner.dataset.parquet_footers import ParquetFile
    from runner.dataset.sources import Source

_PROBE_ROWS = 64


class ParquetRows:
    """The rows of several Parquet files as one sequence. Raises DatasetError.

    Columns are unified over the footers: one that a file lacks is null there, numbers take the
    wider type. Where a column of a file has the name of a key=value folder, the file's wins.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._files: list[ParquetFile] = []
        start = 0
        for source in sources:
            file = read_footer(source, start)
            self._files.append(file)
            start = file.stop
        self.total_rows: int | None = start
        self.row_groups = tuple(group for file in self._files for group in file.groups)
        # Of each row group with rows, in order, whatever its columns.
        self.bytes_per_row = [
            size / rows
            for file in self._files
            for size, rows in zip(file.group_bytes, file.group_rows, strict=True)
            if rows
        ]
        self.schema = unify(self._files)
        if start == 0:
            raise DatasetError(f"{sources[0].path}: the dataset has no rows")

    def batches(self, columns: Sequence[str], keep: Sequence[str], spans: Spans) -> Iterator[Batch]:
        """The wanted rows in order. Raises MachineFault where a file turns out damaged."""
        kept = pa.schema([self.schema.field(name) for name in keep])
        for file in self._files:
            if spans.from_(file.start) is None:
                return
            if next(spans.within(file.start, file.stop), None) is None:
                continue
            file.source.check_unchanged(MachineFault)
            with opened(file.source, MachineFault) as parquet:
                for start, batch in _wanted(file, parquet, {*columns, *keep}, spans):
                    yield _convert(file, start, batch, columns, kept)


def _wanted(
    file: ParquetFile, parquet: pq.ParquetFile, names: set[str], spans: Spans
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The wanted pieces of the file's batches, each with the position of its first row."""
    here = [name for name in file.schema.names if name in names]
    position = file.start
    batches: Iterator[pa.RecordBatch] = iter(())
    for group, group_rows in enumerate(file.group_rows):
        # A reader holds a page or two, 1,024 rows each as most writers make them: let go of the
        # one before it is looked into the next group.
        batches = iter(())
        group_stop = position + group_rows
        pieces = list(spans.within(position, group_stop))
        if pieces:
            with told(file.source, MachineFault, f", row group {group},"):
                rows = _batch_rows(parquet, group, here)
                batches = parquet.iter_batches(
                    rows, row_groups=[group], columns=here, use_threads=False
                )
            at = position
            while at < pieces[-1].stop:
                with told(file.source, MachineFault, f", row group {group},"):
                    batch = next(batches, None)
                    if batch is None:
                        raise OSError(f"it ends after {at - position} of {group_rows} rows")
                for piece in spans.within(at, at + batch.num_rows):
                    yield from _bounded(piece.start, batch.slice(piece.start - at, len(piece)))
                at += batch.num_rows
        position = group_stop


def _batch_rows(parquet: pq.ParquetFile, group: int, names: list[str]) -> int:
    """How many rows of the group are about MAX_BYTES, going by its average and first rows.

    The average alone deceives where long texts repeat: a dictionary stores each of them once.
    """
    metadata = parquet.metadata.row_group(group)
    size = 0
    for at in range(metadata.num_columns):
        column = metadata.column(at)
        path = column.path_in_schema
        if any(path == name or path.startswith(name + ".") for name in names):
            size += column.total_uncompressed_size
    rows = max(1, min(MAX_ROWS, MAX_BYTES * metadata.num_rows // max(1, size)))
    if rows <= _PROBE_ROWS or metadata.num_rows <= MAX_ROWS:
        return rows
    first = next(
        parquet.iter_batches(_PROBE_ROWS, row_groups=[group], columns=names, use_threads=False)
    )
    return max(1, min(rows, MAX_BYTES * _PROBE_ROWS // max(1, first.nbytes)))


def _bounded(start: int, batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batch in halves of halves of at most MAX_BYTES; a larger row stands alone."""
    if batch.num_rows <= 1 or batch.nbytes <= MAX_BYTES:
        yield start, batch
        return
    half = batch.num_rows // 2
    yield from _bounded(start, batch.slice(0, half))
    yield from _bounded(start + half, batch.slice(half))


def _convert(
    file: ParquetFile, start: int, batch: pa.RecordBatch, columns: Sequence[str], kept: pa.Schema
) -> Batch:
    parts = dict(file.source.parts)
    flaws: dict[int, str] = {}
    cells: dict[str, list[Any]] = {}
    for name in columns:
        if name in file.schema.names:
            cells[name] = _python_values(file, start, name, batch.column(name), flaws)
        else:
            cells[name] = [parts.get(name)] * batch.num_rows
    arrays: list[pa.Array[Any]] = []
    for field in kept:
        if field.name not in file.schema.names:
            arrays.append(pa.array([parts.get(field.name)] * batch.num_rows, field.type))
            continue
        array = batch.column(field.name)
        if field.name not in cells:
            _check_values(file, start, field.name, array, flaws)
        if not array.type.equals(field.type):
            with told(file.source, MachineFault, f", column '{field.name}',"):
                array = array.cast(field.type)
        arrays.append(array)
    return make_batch(start, cells, record_batch(arrays, kept, batch.num_rows), flaws)


def _check_values(
    file: ParquetFile, start: int, name: str, column: pa.Array[Any], flaws: dict[int, str]
) -> None:
    """Find text that is not UTF-8: Parquet files may hold it, no other format can take it."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        _python_values(file, start, name, column, flaws)


def _python_values(
    file: ParquetFile, start: int, name: str, column: pa.Array[Any], flaws: dict[int, str]
) -> list[Any]:
    """Maps as dicts; a cell that Python cannot hold flaws its row."""
    try:
        column = _microseconds(column)
        if not pa.types.is_nested(column.type):
            # Said of maps or not, `maps_as_pydicts` makes a scalar of every cell: 5 times as long.
            return column.to_pylist()
        return column.to_pylist(maps_as_pydicts="lossy")
    except (ValueError, OverflowError, pa.ArrowException):
        pass  # find the guilty cells
    values: list[Any] = []
    for offset in range(len(column)):
        try:
            values += column.slice(offset, 1).to_pylist(maps_as_pydicts="lossy")
        except (ValueError, OverflowError, pa.ArrowException) as error:
            values.append(None)
            flaws.setdefault(
                offset,
                f"row {start + offset} in {file.source.path}: column '{name}' cannot be read as "
                f"{column.type}: {error}",
            )
    return values


def _microseconds(column: pa.Array[Any]) -> pa.Array[Any]:
    """Times in nanoseconds, cut to what Python's own types can tell."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return column.cast(pa.duration("us"), safe=False)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    return column
