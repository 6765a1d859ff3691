"""A table as a file, and a finished part's results back: Parquet, CSV, JSON lines."""

from __future__ import annotations

import base64
import decimal
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    from runner.job import Format

# zstd at its fastest level: a third of the size of plain text for a few microseconds a row, and
# read by every Parquet reader of the last years.
_COMPRESSION: Final = "zstd"
_COMPRESSION_LEVEL = 1
_MOST_BLOCK_BYTES = (1 << 31) - 1  # Arrow's CSV reader takes no larger ones


def _to_json_value(value: object) -> object:
    """What orjson does not know: decimals as text (exact), bytes as base64, others as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, decimal.Decimal):
        return str(value)
    return str(value)


def json_text(value: object) -> bytes:
    """A cell or row as JSON; the one spelling for nested cells, files and messages."""
    return orjson.dumps(value, default=_to_json_value, option=orjson.OPT_NON_STR_KEYS)


def _is_flat(kind: pa.DataType) -> bool:
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _python_values(column: Any) -> list[Any]:
    """An array's cells; times that Python's types cannot tell are cut to microseconds, or text."""
    kind = _with_times(column.type, _in_microseconds)
    if not kind.equals(column.type):
        column = column.cast(kind, safe=False)
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):  # a year beyond 9999
        values = column.cast(_with_times(kind, lambda _: pa.string()), safe=False).to_pylist()
    return values


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return pa.time64("us") if kind.equals(pa.time64("ns")) else kind


def _with_times(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with its times, wherever they are nested, replaced."""
    if pa.types.is_temporal(kind):
        return kind if pa.types.is_interval(kind) else change(kind)
    if pa.types.is_struct(kind):
        return pa.struct([one.with_type(_with_times(one.type, change)) for one in kind])
    if pa.types.is_map(kind):
        key, item = _with_times(kind.key_type, change), _with_times(kind.item_type, change)
        return pa.map_(key, item)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_with_times(kind.value_type, change)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_with_times(kind.value_type, change)))
    if pa.types.is_fixed_size_list(kind):
        sized: pa.DataType = pa.list_(_with_times(kind.value_type, change), kind.list_size)
        return sized
    if pa.types.is_dictionary(kind):
        plain: pa.DataType = kind.value_type
        return _with_times(plain, change) if pa.types.is_temporal(plain) else kind
    return kind


def flatten(table: pa.Table) -> pa.Table:
    """The table as CSV can hold it: nested and binary cells become JSON text."""
    for position, column in enumerate(table.schema):
        cells = table.column(position)
        if pa.types.is_dictionary(cells.type):
            cells = cells.cast(cells.type.value_type)
        if pa.types.is_string_view(cells.type):
            cells = cells.cast(pa.string())
        if not _is_flat(cells.type):
            texts = [
                None if value is None else json_text(value).decode()
                for value in _python_values(cells)
            ]
            cells = pa.chunked_array([pa.array(texts, pa.string())])
        table = table.set_column(position, column.name, cells)
    return table


class TableWriter:
    """Writes tables of one schema, one after the other, into a binary file in one format."""

    def __init__(self, file: IO[bytes] | pa.NativeFile, schema: pa.Schema, kind: Format) -> None:
        self._file = file
        self._csv_header = True
        self._parquet: pq.ParquetWriter | None = None
        if kind == "parquet":
            self._parquet = pq.ParquetWriter(
                file, schema, compression=_COMPRESSION, compression_level=_COMPRESSION_LEVEL
            )
        self._kind = kind
        self._schema = schema

    def write(self, table: pa.Table) -> None:
        """Append a table's rows."""
        if self._parquet is not None:
            self._parquet.write_table(table)
        elif self._kind == "csv":
            self._write_csv(table)
        else:
            self._write_jsonl(table)

    def _write_csv(self, table: pa.Table) -> None:
        options = pa_csv.WriteOptions(include_header=self._csv_header)
        pa_csv.write_csv(flatten(table), self._file, options)
        self._csv_header = False

    def _write_jsonl(self, table: pa.Table) -> None:
        names = table.schema.names
        for batch in table.to_batches(max_chunksize=1024):
            rows = zip(*map(_python_values, batch.columns), strict=True)
            lines = [json_text(dict(zip(names, row, strict=True))) + b"\n" for row in rows]
            self._file.write(b"".join(lines))

    def close(self) -> None:
        """Finish the file; a CSV without rows still gets its header."""
        if self._parquet is not None:
            self._parquet.close()
        elif self._kind == "csv" and self._csv_header:
            self._write_csv(self._schema.empty_table())


def write_table(file: IO[bytes], table: pa.Table, kind: Format) -> None:
    """A whole table as one file."""
    writer = TableWriter(file, table.schema, kind)
    writer.write(table)
    writer.close()


def read_columns(path: Path, kind: Format, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` from a part that `write_table` wrote; others are left unread."""
    if kind == "parquet":
        # Not read_table: its scanner's threads may outlive the read and abort the process at its
        # exit (apache/arrow issue 34314).
        with pq.ParquetFile(path, pre_buffer=False) as file:
            return file.read(schema.names, use_threads=False)
    if kind == "csv":
        return _read_csv(path, schema)
    return _read_jsonl(path, schema)


def _read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    # Written nulls are bare, written empty texts are quoted: that is how they stay apart.
    convert = pa_csv.ConvertOptions(
        column_types=schema,
        include_columns=schema.names,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    block_size = min(max(1, path.stat().st_size), _MOST_BLOCK_BYTES)  # the whole file if possible
    whole_file = pa_csv.ReadOptions(block_size=block_size, use_threads=False)
    return pa_csv.read_csv(path, whole_file, parse, convert)


def _read_jsonl(path: Path, schema: pa.Schema) -> pa.Table:
    with path.open("rb") as file:
        rows = [orjson.loads(line) for line in file]
    arrays = [_from_json([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _from_json(values: list[Any], kind: pa.DataType) -> pa.Array[Any]:
    if pa.types.is_timestamp(kind):
        # orjson writes microseconds, which Arrow does not cast to a coarser unit by itself
        return pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC")).cast(kind)
    return pa.array(values, kind)


def iter_tables(path: Path, rows: int = 4096) -> Iterator[pa.Table]:
    """A Parquet part table by table, in bounded memory."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(rows, use_threads=False):
            yield pa.Table.from_batches([batch])
