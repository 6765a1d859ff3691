"""One file of a run's rows: what is in it, and what becomes of it when something goes wrong."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from some_runs import SomeRun, questions

from runner.errors import JobError, MachineFault
from runner.export import export
from runner.part_files import TableWriter

if TYPE_CHECKING:
    from pathlib import Path


def some_run(place: Path, **job: Any) -> SomeRun:
    """Rows 0 to 3 sealed, 4 and 5 open, 6 and 7 pending; 1 and 5 failed."""
    run = SomeRun(place, questions(8), **job)
    run.seal(0, [run.answer(0), run.failure(1), run.answer(2, completion=""), run.answer(3)])
    run.journal(run.answer(4), run.failure(5))
    return run


@pytest.mark.parametrize(
    ("only", "with_pending", "rows"),
    [
        ("all", False, [0, 1, 2, 3, 4, 5]),
        ("succeeded", False, [0, 2, 3, 4]),
        ("failed", False, [1, 5]),
        ("all", True, [0, 1, 2, 3, 4, 5, 6, 7]),
        ("succeeded", True, [0, 2, 3, 4, 6, 7]),
        ("failed", True, [1, 5, 6, 7]),
    ],
)
def test_the_rows_that_were_asked_for_are_written_and_all_are_counted(
    tmp_path: Path, only: Any, with_pending: bool, rows: list[int]
) -> None:
    run = some_run(tmp_path)
    file = tmp_path / "out.parquet"
    found = export(run.folder, run.run, file, only=only, with_pending=with_pending)
    assert pq.read_table(file)["row"].to_pylist() == rows
    assert (found.rows, found.succeeded, found.failed, found.pending) == (len(rows), 4, 2, 2)


def test_pending_rows_are_not_counted_where_the_end_is_unknown(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(8), known_end=False)
    run.seal(0)
    assert export(run.folder, run.run, tmp_path / "out.csv").pending is None


@pytest.mark.parametrize("parts", ["parquet", "csv", "jsonl"])
def test_every_format_of_parts_exports_to_every_format(tmp_path: Path, parts: str) -> None:
    run = some_run(tmp_path, format=parts)
    for ending in ("parquet", "csv", "jsonl"):
        export(run.folder, run.run, tmp_path / f"out.{ending}")
    table = pq.read_table(tmp_path / "out.parquet")
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    rows = [orjson.loads(line) for line in lines]
    read = pa_csv.read_csv(tmp_path / "out.csv", convert_options=pa_csv.ConvertOptions(
        strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]))  # fmt: skip
    for name in ("id", "note", "completion", "row", "cost", "error_type"):
        expected = table[name].to_pylist()
        assert [row[name] for row in rows] == expected
        assert read[name].to_pylist() == expected
    # A null is not an empty text, in the answers and in the dataset's own columns.
    assert table["completion"].to_pylist()[1:3] == [None, ""]
    assert table["note"].to_pylist()[:2] == ["", None]


TYPES = pa.table(
    {
        "text": ["a", "b", "c", "d"],
        "id": [1, 2, 3, 4],
        "nested": [[{"k": 1}], None, [], [{"k": None}]],
        "price": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25"), None],
                          pa.decimal128(10, 2)),
        "at": pa.array([1_700_000_000_000_000_001, None, 0, 1], pa.timestamp("ns", "UTC")),
        "day": pa.array([dt.date(2026, 1, 2), None, None, None]),
        "word": pa.array(["x", None, "", "x"]).dictionary_encode(),
        "bytes": pa.array([b"\xff", None, b"", b"a"]),
        "fixed": pa.array([b"\xff\x00", None, b"ab", b"cd"], pa.binary(2)),
        "times": pa.array([[1], None, [], [2]], pa.list_(pa.timestamp("ns"))),
        "map": pa.array([[("k", 1)], None, [], []], pa.map_(pa.string(), pa.int64())),
    }
)  # fmt: skip


@pytest.mark.parametrize("parts", ["parquet", "csv", "jsonl"])
def test_columns_keep_their_types_in_parquet_and_their_values_elsewhere(
    tmp_path: Path, parts: str
) -> None:
    run = SomeRun(tmp_path, TYPES, format=parts)
    run.seal(0)
    for ending in ("parquet", "csv", "jsonl"):
        assert export(run.folder, run.run, tmp_path / f"out.{ending}").rows == len(TYPES)
    table = pq.read_table(tmp_path / "out.parquet").select(TYPES.schema.names)
    assert table.schema.types == TYPES.schema.types
    assert table.equals(TYPES)
    first = orjson.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[0])
    assert (first["price"], first["nested"], first["bytes"]) == ("1.50", [{"k": 1}], "/w==")
    assert (first["word"], first["day"], first["fixed"]) == ("x", "2026-01-02", "/wA=")
    assert first["at"] == "2023-11-14T22:13:20+00:00"
    text = (tmp_path / "out.csv").read_text("utf-8")
    assert '1.50,2023-11-14 22:13:20.000000001Z,2026-01-02,"x"' in text
    assert '"[{""k"":1}]"' in text


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62, None], pa.timestamp("us")),  # beyond the year 9999
        pa.array([2**62, None], pa.duration("s")),
        pa.array([[2**62], None], pa.list_(pa.timestamp("us"))),
        pa.array([1, None], pa.time64("ns")),
        pa.array([1, None], pa.duration("ns")),
        pa.array([{"at": 1}, None], pa.struct([("at", pa.timestamp("ns"))])),
        pa.array([b"\xff", None], pa.binary_view()),
        pa.array(["x", None], pa.string_view()),
        pa.array([1.5, None], pa.float16()),
    ],
    ids=lambda column: str(column.type),
)
def test_no_type_stops_a_file_of_text(tmp_path: Path, column: Any, kind: Any) -> None:
    table = pa.table({"column": column})
    path = tmp_path / "file"
    with path.open("wb") as file:
        writer = TableWriter(file, table.schema, kind)
        writer.write(table)
        writer.close()
    assert len(path.read_text("utf-8").splitlines()) == (3 if kind == "csv" else 2)


def test_a_run_without_results_gives_a_file_of_columns(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(3))
    for ending in ("parquet", "csv"):
        export(run.folder, run.run, tmp_path / f"out.{ending}")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    assert (tmp_path / "out.csv").read_text("utf-8").startswith('"id","text","note","row",')


def test_names_that_cannot_be_are_refused(tmp_path: Path) -> None:
    run = some_run(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    link = tmp_path / "link.parquet"
    link.symlink_to(run.data)
    for file, told in (
        (tmp_path / "out.txt", "ends in .parquet, .csv or .jsonl"),
        (tmp_path / "out", "ends in .parquet, .csv or .jsonl"),
        (tmp_path / "folder.csv", "is a folder"),
        (tmp_path / "nowhere" / "out.csv", "there is no folder"),
        (run.data, "a file of the dataset itself"),
        (link, "a file of the dataset itself"),
        (run.folder.seals(run.run).part(0), "inside the run's own folder"),
    ):
        with pytest.raises(JobError, match=told):
            export(run.folder, run.run, file)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    run = some_run(tmp_path)
    run.folder.seals(run.run).part(0).write_bytes(b"")
    place = tmp_path / "place"
    place.mkdir()
    (place / "out.csv").write_text("old")
    with pytest.raises(MachineFault, match="paid for"):
        export(run.folder, run.run, place / "out.csv", overwrite=True)
    assert {path.name: path.read_text() for path in place.iterdir()} == {"out.csv": "old"}


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be asked for there")
def test_what_a_killed_export_left_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    run = some_run(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    dead, alive = (tmp_path / f".out.csv.{pid}.tmp" for pid in (ended.pid, os.getppid()))
    other = tmp_path / f".other.csv.{ended.pid}.tmp"
    for path in (dead, alive, other):
        path.touch()
    export(run.folder, run.run, tmp_path / "out.csv")
    assert [path.exists() for path in (dead, alive, other)] == [False, True, True]


def test_a_file_that_no_export_of_this_run_left_is_never_overwritten(tmp_path: Path) -> None:
    run, file = some_run(tmp_path), tmp_path / "out.csv"
    file.write_text("my own notes")
    with pytest.raises(JobError, match=r"out\.csv is there already.*--yes") as refused:
        export(run.folder, run.run, file)
    assert refused.value.exit_status == 2
    assert file.read_text() == "my own notes"
    export(run.folder, run.run, file, overwrite=True)
    export(run.folder, run.run, file, only="failed")  # its own, by now
    with file.open("a") as out:
        out.write("a remark\n")
    with pytest.raises(JobError, match="changed since"):
        export(run.folder, run.run, file)
    file.unlink()
    export(run.folder, run.run, file)


def test_without_its_memory_an_export_asks_rather_than_overwrites(tmp_path: Path) -> None:
    run, file = some_run(tmp_path), tmp_path / "out.csv"
    export(run.folder, run.run, file)
    for text in (b"", b"[1]", b"{"):
        run.folder.exports.write_bytes(text)
        with pytest.raises(JobError, match="is there already"):
            export(run.folder, run.run, file)


def test_a_file_for_excel_begins_with_a_mark_and_runs_nothing(tmp_path: Path) -> None:
    run, file = some_run(tmp_path), tmp_path / "out.csv"
    run.journal(run.answer(6, completion="=1+1"), run.answer(7, completion="x" * 40_000))
    found = export(run.folder, run.run, file, excel=True)
    data = file.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\xef\xbb\xbf") == 1
    options = pa_csv.ParseOptions(newlines_in_values=True)
    rows = pa_csv.read_csv(file, parse_options=options).to_pylist()
    assert rows[6]["completion"] == "'=1+1"
    assert len(rows[7]["completion"]) == 32_767
    assert [(cell.row, cell.column, cell.chars) for cell in found.cut] == [
        (7, "completion", 40_000)
    ]
    with pytest.raises(JobError, match=r"--excel is for \.csv"):
        export(run.folder, run.run, tmp_path / "out.parquet", excel=True)
