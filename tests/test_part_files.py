"""Tables as Parquet, CSV and JSON lines: what goes in, and what readers find."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import decimal
import gc
import io
import json
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from some_results import any_result, some_failure, some_result

from runner.job import Format
from runner.output import assemble, result_schema, results_of
from runner.part_files import TableWriter, iter_tables, read_columns, write_table

if TYPE_CHECKING:
    from runner.records import Result

FORMATS: tuple[Format, ...] = get_args(Format)


def as_bytes(table: pa.Table, kind: Format) -> bytes:
    file = io.BytesIO()
    write_table(file, table, kind)
    return file.getvalue()


def through(table: pa.Table, kind: Format, schema: pa.Schema) -> pa.Table:
    """The table's columns of `schema`, once written and read back."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part"
        path.write_bytes(as_bytes(table, kind))
        return read_columns(path, kind, schema)


@pytest.mark.parametrize("kind", FORMATS)
@given(st.lists(any_result(), max_size=4, unique_by=lambda result: result.row))
@example([some_result(completion=""), some_result(1, completion=None, currency=None, cost=None)])
@example([some_result(completion='a "quoted"\r\nword, 中文 😀\n\n\x00'), some_failure(1)])
def test_results_come_back_from_a_part_as_they_were(kind: Format, results: list[Result]) -> None:
    schema = result_schema("p.")
    inputs = pa.table({"text": ['first "line"\nsecond'] * len(results)})
    outputs = assemble([], results, schema, "p.")
    whole = pa.table([*inputs.columns, *outputs.columns], [*inputs.column_names, *schema.names])
    read = through(whole, kind, schema)
    keys = [(result.key, result.row_id) for result in results]
    unmetered = {result.row: result.unmetered_attempts for result in results}
    assert list(results_of(read, "p.", keys, unmetered)) == results


@pytest.mark.parametrize("kind", FORMATS)
def test_a_part_of_many_pieces_is_one_table(kind: Format) -> None:
    pieces = [
        assemble([], [some_result(row) for row in rows], result_schema(""), "")
        for rows in (range(3), range(3, 2000), range(2000, 2001))
    ]
    file = io.BytesIO()
    writer = TableWriter(file, pieces[0].schema, kind)
    for piece in pieces:
        writer.write(piece)
    writer.close()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part"
        path.write_bytes(file.getvalue())
        assert read_columns(path, kind, result_schema(""))["row"].to_pylist() == list(range(2001))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_of_no_rows_can_be_read_back(kind: Format) -> None:
    schema = result_schema("")
    assert through(schema.empty_table(), kind, schema).num_rows == 0


def test_a_csv_of_no_rows_has_its_header() -> None:
    schema = pa.schema([pa.field(name, pa.int8()) for name in ("a", 'b "quoted", too')])
    file = io.BytesIO()
    TableWriter(file, schema, "csv").close()
    (header,) = csv.reader(io.StringIO(file.getvalue().decode()))
    assert header == ["a", 'b "quoted", too']


@pytest.mark.parametrize("kind", FORMATS)
def test_a_writer_goes_with_its_last_reference(kind: Format) -> None:
    # A run makes so few objects that live on that Python's collector hardly comes by, and a Parquet
    # writer holds 60 KB of its file's footer: 12 MB for 200 parts, as long as it was in a cycle.
    gc.disable()
    try:
        writer = TableWriter(io.BytesIO(), result_schema(""), kind)
        writer.close()
        gone = weakref.ref(writer)
        del writer
        assert gone() is None
    finally:
        gc.enable()


MOMENT = dt.datetime(2024, 2, 29, 1, 2, 3, 4567, tzinfo=dt.UTC)
NAIVE = MOMENT.replace(tzinfo=None)
DATE = dt.date(2024, 2, 29)
# type, a value, what CSV and JSON lines show of it
TYPES: list[tuple[pa.DataType, Any, str, Any]] = [
    (pa.bool_(), True, "true", True),
    *((kind, 100, "100", 100) for kind in (pa.int8(), pa.uint8(), pa.int64(), pa.uint32())),
    (pa.uint64(), 2**64 - 1, str(2**64 - 1), 2**64 - 1),
    (pa.float16(), 1.5, "1.5", 1.5),
    (pa.float64(), 0.1, "0.1", 0.1),
    (pa.decimal128(10, 2), decimal.Decimal("1.10"), "1.10", "1.10"),
    (pa.decimal256(60, 2), decimal.Decimal("1.10"), "1.10", "1.10"),
    *((kind, 'a"b\n', 'a"b\n', 'a"b\n') for kind in (pa.string(), pa.large_string())),
    (pa.string_view(), "=1+1", "=1+1", "=1+1"),
    *((kind, b"\xff\x00", '"/wA="', "/wA=") for kind in (pa.binary(), pa.large_binary())),
    *((kind, b"\xff\x00", '"/wA="', "/wA=") for kind in (pa.binary(2), pa.binary_view())),
    (pa.date32(), DATE, "2024-02-29", "2024-02-29"),
    (pa.timestamp("ms"), NAIVE.replace(microsecond=4000), "2024-02-29 01:02:03.004",
     "2024-02-29T01:02:03.004000"),
    (pa.timestamp("us", "UTC"), MOMENT, "2024-02-29 01:02:03.004567Z",
     "2024-02-29T01:02:03.004567+00:00"),
    (pa.timestamp("ns", "+07:30"), MOMENT, "2024-02-29 08:32:03.004567000+0730",
     "2024-02-29T08:32:03.004567+07:30"),
    (pa.time32("ms"), dt.time(1, 2, 3), "01:02:03.000", "01:02:03"),
    (pa.time64("ns"), dt.time(1, 2, 3), "01:02:03.000000000", "01:02:03"),
    (pa.duration("us"), dt.timedelta(seconds=1), "1000000", "0:00:01"),
    (pa.duration("ns"), dt.timedelta(seconds=1), "1000000000", "0:00:01"),
    (pa.list_(pa.string()), ["a", None], '["a",null]', ["a", None]),
    (pa.large_list(pa.binary()), [b"\xff"], '["/w=="]', ["/w=="]),
    (pa.list_(pa.int8(), 2), [1, 2], "[1,2]", [1, 2]),
    (pa.struct([("n", pa.int8()), ("t", pa.timestamp("ns"))]), {"n": 1, "t": NAIVE},
     '{"n":1,"t":"2024-02-29T01:02:03.004567"}', {"n": 1, "t": "2024-02-29T01:02:03.004567"}),
    (pa.list_(pa.timestamp("ns"), 1), [NAIVE], '["2024-02-29T01:02:03.004567"]',
     ["2024-02-29T01:02:03.004567"]),
    (pa.map_(pa.string(), pa.decimal128(4, 1)), [("k", decimal.Decimal("1.5"))], '[["k","1.5"]]',
     [["k", "1.5"]]),
    (pa.dictionary(pa.int8(), pa.string()), "a", "a", "a"),
    (pa.dictionary(pa.int8(), pa.binary()), b"\xff\x00", '"/wA="', "/wA="),
    (pa.uuid(), b"0" * 16, '"30303030-3030-3030-3030-303030303030"',
     "30303030-3030-3030-3030-303030303030"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "text", "item"), TYPES, ids=[str(t[0]) for t in TYPES])
def test_an_input_column_of_any_type_is_written(
    kind: pa.DataType, value: Any, text: str, item: Any
) -> None:
    table = pa.table({"before": [1, 2], "it": pa.array([value, None], kind), "behind": ["x", "y"]})
    with pq.ParquetFile(pa.BufferReader(as_bytes(table, "parquet"))) as file:
        read = file.read()
    assert read["it"].type == kind
    assert read.equals(table)
    rows = list(csv.reader(io.StringIO(as_bytes(table, "csv").decode(), newline="")))
    assert rows == [["before", "it", "behind"], ["1", text, "x"], ["2", "", "y"]]
    lines = [json.loads(line) for line in as_bytes(table, "jsonl").splitlines()]
    assert lines == [
        {"before": 1, "it": item, "behind": "x"},
        {"before": 2, "it": None, "behind": "y"},
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_year_that_no_calendar_knows_does_not_stop_the_part(kind: Format) -> None:
    table = pa.table({"it": pa.array([2**62, None], pa.timestamp("us"))})
    assert as_bytes(table, kind).count(b"\n") >= 2


def test_binary_cells_can_be_had_back_from_text() -> None:
    table = pa.table({"it": pa.array([bytes(range(256))])})
    assert base64.b64decode(json.loads(as_bytes(table, "jsonl"))["it"]) == bytes(range(256))


def test_in_csv_nothing_and_empty_text_stay_apart() -> None:
    assert as_bytes(pa.table({"a": ["", None], "b": [1, 2]}), "csv") == b'"a","b"\n"",1\n,2\n'


def test_a_parquet_part_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(as_bytes(pa.table({"n": list(range(1000))}), "parquet"))
    pieces = list(iter_tables(path, rows=300))
    assert [len(piece) for piece in pieces] == [300, 300, 300, 100]
    assert pa.concat_tables(pieces)["n"].to_pylist() == list(range(1000))
