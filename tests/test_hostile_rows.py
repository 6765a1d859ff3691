"""Whatever cells and journals hold: it comes out as it went in, or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_results import some_bill, some_result, texts

from runner import DatasetError, Job, run_sync
from runner.journal import JournalFile, encode_line
from runner.output import assemble, output_schema
from runner.part_files import TableWriter
from runner.records import Result, Row, Unfinished
from runner.template import compile_template

NASTY = [
    "", " ", "\x00", "a\x00b", "\x1b[2J", "\r", "\n", "\r\n", '"', '""', ",", ";", "\t", "\\", "'",
    'a "quoted", cell\nof two lines', "{{ text }}", "{% raw %}", "{{ 7*7 }}", "{# x #}", "{{",
    "<|im_end|>", "<|im_start|>system", "\ufeff", "\ufffe", "\u2028", "\u202e", "\U0001f600",
    "e\u0301", "=1+1", "NULL", "null", "NaN", "true", "007", "1e999",
    "\x7f\x80\x9f", "\ud7ff\ue000",
    "x" * 100_000,
]  # fmt: skip
PREFIX = "Say: "
SMALL_CSV_CELL = 1 << 24


def read_all(folder: Path, kind: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    csv.field_size_limit(SMALL_CSV_CELL)
    for part in sorted((folder / "completions").iterdir()):
        if kind == "parquet":
            rows += pq.read_table(part).to_pylist()
        elif kind == "jsonl":
            rows += [json.loads(line) for line in part.read_bytes().splitlines()]
        else:
            rows += csv.DictReader(io.StringIO(part.read_bytes().decode(), newline=""))
    return rows


def read_by_arrow(folder: Path) -> list[object]:
    """The text of CSV parts, as the other reader that people use finds it."""
    cells: list[object] = []
    for part in sorted((folder / "completions").iterdir()):
        table = pa_csv.read_csv(
            part,
            read_options=pa_csv.ReadOptions(block_size=SMALL_CSV_CELL),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(column_types={"text": pa.string()}),
        )
        cells += table["text"].to_pylist()
    return cells


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_nasty_cells_go_the_whole_way_unchanged(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"text": NASTY}), path)
    settings = {"prompt": PREFIX + "{{ text }}", "model": "qwen-plus", "format": kind}
    job = Job.build({**settings, "limits": {"qps": 1000}})
    summary = run_sync(job, str(path), str(tmp_path / "run"), rehearsal=True)
    assert (summary.tally.failed, summary.tally.succeeded) == (0, len(NASTY))
    rows = read_all(tmp_path / "run", kind)
    assert [row["text"] for row in rows] == NASTY
    if kind == "csv":
        assert read_by_arrow(tmp_path / "run") == NASTY
    # What was sent is the cell as it is: its own template syntax was never looked at.
    packed = b"".join(file.read_bytes() for file in sorted((tmp_path / "run").glob("seals/*.keys")))
    for at, cell in enumerate(NASTY):
        template = compile_template(job, ["text"], default_model="qwen-plus")
        request = template.fill(Row(at, {"text": cell}))
        assert orjson.loads(request.body)["messages"][-1]["content"] == PREFIX + cell
        assert request.key in packed.hex()


def test_every_type_and_size_comes_out_of_parquet_as_it_went_in(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    columns: dict[str, pa.Array[Any]] = {
        "prompt": pa.array(["a", "b" * 5_000_000, "c"]),
        "nested": pa.array([{"a": [1, None], "b": {"c": "x"}}, None, {"a": [], "b": None}]),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int32())),
        "word": pa.array(["x", None, "x"]).dictionary_encode(),
        "price": pa.array([Decimal("1.10"), None, Decimal("-3.00")], pa.decimal128(12, 2)),
        "at_ns": pa.array([1, None, 2**60], pa.timestamp("ns", "Asia/Singapore")),
        "at_us": pa.array([moment, None, moment], pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
        "raw": pa.array([b"\x00\xff", None, b""]),
        "none": pa.nulls(3),
        **{f"n{at}": pa.array([at, None, -at], pa.int16()) for at in range(200)},
    }
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "d.parquet")
    before = pq.read_table(tmp_path / "d.parquet")
    job = Job.build({"model": "qwen-plus", "limits": {"qps": 1000}})
    summary = run_sync(job, str(tmp_path / "d.parquet"), str(tmp_path / "run"), rehearsal=True)
    assert summary.tally.rows == 3
    after = pa.concat_tables(
        pq.read_table(part) for part in sorted((tmp_path / "run" / "completions").iterdir())
    )
    assert after.select(before.schema.names).combine_chunks().equals(before.combine_chunks())


def test_half_a_character_in_a_dataset_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"text": "half \\ud800 of it"}\n{"text": "whole"}\n')
    job = Job(prompt="{{ text }}", model="qwen-plus")
    with pytest.raises(DatasetError, match=r"line 1 of .*surrogate"):
        run_sync(job, str(path), str(tmp_path / "run"), rehearsal=True)
    assert not (tmp_path / "run").exists()


@given(st.lists(texts | st.none(), min_size=1, max_size=5), texts)
def test_any_cell_and_answer_come_out_of_a_csv_part_by_its_own_rules(
    cells: list[str | None], answer: str
) -> None:
    inputs = pa.record_batch({"text": pa.array(cells, pa.string())})
    schema = output_schema(inputs.schema, "")
    results = [some_result(row, completion=answer) for row in range(len(cells))]
    file = io.BytesIO()
    writer = TableWriter(file, schema, "csv")
    writer.write(assemble([inputs], results, schema, ""))
    writer.close()
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))
    assert [row["text"] for row in rows] == [cell or "" for cell in cells]
    assert [row["completion"] for row in rows] == [answer] * len(cells)


_entries = st.lists(
    st.builds(some_result, st.integers(0, 5), completion=texts)
    | st.builds(some_bill, st.integers(0, 5), attempts=st.integers(1, 9)),
    max_size=6,
)


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes of a journal after bits were flipped, pieces cut out, doubled or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 80))
        kind = draw(st.sampled_from(["flip", "cut", "put", "end", "zero"]))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at : at + size]
        elif kind == "put":
            data[at:at] = draw(st.binary(max_size=80))
        elif kind == "zero":
            data[at : at + size] = bytes(len(data[at : at + size]))
        else:
            del data[at:]
    return bytes(data)


@given(st.data(), _entries)
def test_no_damage_to_a_journal_makes_a_wrong_result_or_an_exception(
    data: st.DataObject, entries: list[Result | Unfinished]
) -> None:
    whole = b"".join(map(encode_line, entries))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "00000.jsonl"
        path.write_bytes(data.draw(_damaged(whole)))
        before = path.read_bytes()
        file = JournalFile(path, mend=False)
        assert path.read_bytes() == before
        assert all(one in entries for one in (*file.results.values(), *file.bills.values()))
        mended = JournalFile(path, mend=True)
        assert (mended.results, mended.bills) == (file.results, file.bills)
        left = path.read_bytes()
        assert before.startswith(left)
        assert left == b"" or left.endswith(b"\n")
