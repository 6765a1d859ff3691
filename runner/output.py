"""Which columns come out, and how results become columns beside the input's own."""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from runner.errors import JobError
from runner.records import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_YEAR_10000_S = 253_402_300_800  # the first second that dates cannot tell
_SLICE_BYTES = 2 << 20  # of inputs: what is encoded and written at a time
SLICE_ROWS = 256  # what is turned into columns at a time: half a millisecond

# One schema, known before the first request. Order and types are the contract of the output.
OUTPUT_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("row", pa.int64()),
    ("completion", pa.string()),
    ("reasoning", pa.string()),
    ("tool_calls", pa.string()),
    ("choices", pa.string()),
    ("finish_reason", pa.string()),
    ("model", pa.string()),
    ("response_id", pa.string()),
    ("created", pa.timestamp("ms", "UTC")),  # Parquet has no coarser unit
    ("prompt_tokens", pa.int64()),
    ("completion_tokens", pa.int64()),
    ("total_tokens", pa.int64()),
    ("cached_tokens", pa.int64()),
    ("reasoning_tokens", pa.int64()),
    ("cost", pa.float64()),
    ("attempts", pa.int32()),
    ("latency_s", pa.float64()),
    ("ttft_s", pa.float64()),
    ("request_id", pa.string()),
    ("currency", pa.string()),
    ("finished_at", pa.timestamp("ms", "UTC")),
    ("error_type", pa.string()),
    ("error_code", pa.string()),
    ("error_message", pa.string()),
    ("rejected", pa.string()),
)


@lru_cache(maxsize=4)
def result_schema(prefix: str) -> pa.Schema:
    """The output columns alone, named with the job's prefix."""
    return pa.schema([(prefix + name, kind) for name, kind in OUTPUT_FIELDS])


def output_schema(inputs: pa.Schema, prefix: str) -> pa.Schema:
    """Input columns first, then the output columns. Raises JobError on a clash of names."""
    outputs = result_schema(prefix)
    clashes = [name for name in inputs.names if name in outputs.names]
    if clashes:
        names = ", ".join(f"'{name}'" for name in clashes)
        raise JobError(
            f"the dataset's columns {names} have the names of output columns; rename the output "
            f"with --prefix (for example --prefix out_) or leave them out with --keep"
        )
    return pa.schema([*inputs, *outputs])


def _column(name: str, kind: pa.DataType, results: Sequence[Result]) -> pa.Array[Any]:
    values = list(map(attrgetter(name), results))
    if pa.types.is_timestamp(kind):
        values = [_milliseconds(value) for value in values]
    return pa.array(values, kind)


def _milliseconds(seconds: float | None) -> int | None:
    # A server's nonsense (milliseconds in place of seconds) must not make a part that CSV and JSON
    # readers choke on.
    return None if seconds is None or not 0 <= seconds < _YEAR_10000_S else round(seconds * 1000)


def result_columns(results: Sequence[Result], prefix: str) -> pa.RecordBatch:
    """Results as a batch of output columns, in the order given."""
    arrays = [_column(name, kind, results) for name, kind in OUTPUT_FIELDS]
    return pa.RecordBatch.from_arrays(arrays, schema=result_schema(prefix))


def assemble(
    inputs: Iterable[pa.RecordBatch], results: Sequence[Result], schema: pa.Schema, prefix: str
) -> pa.Table:
    """Input batches and the results of the same rows, side by side."""
    slices = [
        result_columns(results[start : start + SLICE_ROWS], prefix)
        for start in range(0, len(results), SLICE_ROWS)
    ]
    return beside(inputs, pa.Table.from_batches(slices, schema=result_schema(prefix)), schema)


def beside(inputs: Iterable[pa.RecordBatch], outputs: pa.Table, schema: pa.Schema) -> pa.Table:
    """Input batches and the output columns of the same rows, as one table."""
    kept = pa.schema(list(schema)[: len(schema) - len(OUTPUT_FIELDS)])
    if not len(kept):  # a table of no columns forgets its rows
        return outputs.cast(schema)
    table = pa.Table.from_batches(list(inputs), schema=kept)
    return pa.Table.from_arrays([*table.columns, *outputs.columns], schema=schema)


def slices(
    inputs: Iterable[pa.RecordBatch], outputs: pa.Table, schema: pa.Schema
) -> Iterator[pa.Table]:
    """The table of `beside` in pieces: each ends with the batch that makes it large enough."""
    waiting: list[pa.RecordBatch] = []
    start = stop = size = 0
    for batch in inputs:
        waiting.append(batch)
        stop += batch.num_rows
        size += batch.nbytes
        if size >= _SLICE_BYTES:
            yield beside(waiting, outputs.slice(start, stop - start), schema)
            waiting, start, size = [], stop, 0
    if start < len(outputs):
        yield beside(waiting, outputs.slice(start), schema)


def results_of(
    table: pa.Table,
    prefix: str,
    keys: Sequence[tuple[str, str]],
    unmetered: Mapping[int, int] | None = None,
) -> Iterator[Result]:
    """The results that a finished part holds.

    What has no column comes from its record: `keys`, the rows' request keys and ids in order, and
    `unmetered`, by row, the attempts without known usage.
    """
    columns: dict[str, list[Any]] = {}
    for name, kind in OUTPUT_FIELDS:
        column = table[prefix + name]
        if pa.types.is_timestamp(kind):
            column = column.cast(kind).cast(pa.int64())
        columns[name] = column.to_pylist()
    columns["created"] = [value and value // 1000 for value in columns["created"]]
    columns["finished_at"] = [value and value / 1000 for value in columns["finished_at"]]
    counts = unmetered or {}
    names = list(columns)
    for (key, row_id), *values in zip(keys, *columns.values(), strict=True):
        found = dict(zip(names, values, strict=True))
        unmetered_attempts = counts.get(found["row"], 0)
        yield Result(key=key, row_id=row_id, unmetered_attempts=unmetered_attempts, **found)
