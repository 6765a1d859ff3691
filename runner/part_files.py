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
        pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )


def flatten(table: pa.Table) -> pa.Table:
    """The table as CSV can hold it: nested and binary cells become JSON text."""
    for position, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            decoded = table[column.name].cast(column.type.value_type)
            table = table.set_column(position, column.name, decoded)
        elif not _is_flat(column.type):
            texts = [
                None if value is None else json_text(value).decode()
                for value in table[column.name].to_pylist()
            ]
            table = table.set_column(position, column.name, pa.array(texts, pa.string()))
    return table


class TableWriter:
    """Writes tables of one schema, one after the other, into a binary file in one format."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, kind: Format) -> None:
        self._file = file
        self._csv_header = True
        self._parquet: pq.ParquetWriter | None = None
        if kind == "parquet":
            self._parquet = pq.ParquetWriter(
                file, schema, compression=_COMPRESSION, compression_level=_COMPRESSION_LEVEL
            )
        self._write: Callable[[pa.Table], None] = {
            "parquet": self._write_parquet,
            "csv": self._write_csv,
            "jsonl": self._write_jsonl,
        }[kind]
        self._schema = schema

    def write(self, table: pa.Table) -> None:
        """Append a table's rows."""
        self._write(table)

    def _write_parquet(self, table: pa.Table) -> None:
        assert self._parquet is not None  # noqa: S101 - set for this format in __init__
        self._parquet.write_table(table)

    def _write_csv(self, table: pa.Table) -> None:
        options = pa_csv.WriteOptions(include_header=self._csv_header)
        pa_csv.write_csv(flatten(table), self._file, options)
        self._csv_header = False

    def _write_jsonl(self, table: pa.Table) -> None:
        for batch in table.to_batches(max_chunksize=1024):
            self._file.write(b"".join(json_text(row) + b"\n" for row in batch.to_pylist()))

    def close(self) -> None:
        """Finish the file; a CSV without rows still gets its header."""
        if self._parquet is not None:
            self._parquet.close()
        elif self._write == self._write_csv and self._csv_header:
            self._write_csv(self._schema.empty_table())


def write_table(file: IO[bytes], table: pa.Table, kind: Format) -> None:
    """A whole table as one file."""
    writer = TableWriter(file, table.schema, kind)
    writer.write(table)
    writer.close()


def read_columns(path: Path, kind: Format, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` from a part that `write_table` wrote; others are left unread."""
    if kind == "parquet":
        return pq.read_table(path, columns=schema.names, use_threads=False, partitioning=None)
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
    whole_file = pa_csv.ReadOptions(block_size=max(1, path.stat().st_size), use_threads=False)
    return pa_csv.read_csv(path, whole_file, parse, convert)


def _read_jsonl(path: Path, schema: pa.Schema) -> pa.Table:
    with path.open("rb") as file:
        rows = [orjson.loads(line) for line in file]
    arrays = [_from_json([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _from_json(values: list[Any], kind: pa.DataType) -> pa.Array[Any]:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)


def iter_tables(path: Path, rows: int = 4096) -> Iterator[pa.Table]:
    """A Parquet part table by table, in bounded memory."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(rows, use_threads=False):
            yield pa.Table.from_batches([batch])
