from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.dataset import open_dataset
from runner.dataset.batches import MAX_BYTES
from runner.errors import DatasetError, MachineFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.dataset import Batch

ALL = [range(sys.maxsize)]


def write(path: Path, table: pa.Table, **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, str(path), **options)
    return str(path)


def read(
    paths: Sequence[str], columns: Sequence[str], keep: Sequence[str] = (), spans: Any = ALL
) -> list[Batch]:
    return list(open_dataset(paths).batches(columns=columns, keep=keep, spans=spans))


def cells(batches: list[Batch], name: str) -> list[Any]:
    return [row.cells[name] for batch in batches for row in batch.rows]


def numbered(count: int) -> pa.Table:
    return pa.table({"n": list(range(count)), "text": [f"text {n}" for n in range(count)]})


def damage(path: str, group: int, column: int = 0) -> None:
    """Overwrite a column's pages in one row group, so that reading them fails."""
    chunk = pq.read_metadata(path).row_group(group).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    with Path(path).open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * chunk.total_compressed_size)


def test_positions_run_on_over_files_and_inputs_go_beside(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{at}.parquet", numbered(1500), row_group_size=700) for at in (1, 2)]
    batches = read(paths, ["text"], ["n"])
    assert [row.index for batch in batches for row in batch.rows] == list(range(3000))
    assert cells(batches, "text") == [f"text {n}" for n in range(1500)] * 2
    assert [n for batch in batches for n in batch.inputs["n"].to_pylist()] == [*range(1500)] * 2
    for batch in batches:
        assert batch.start == batch.rows[0].index
        assert batch.inputs.num_rows == len(batch.rows) <= 1024
        assert set(batch.rows[0].cells) == {"text"}


def test_spans_are_met_exactly_and_no_batch_crosses_a_gap(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(5000), row_group_size=1000)
    spans = [range(3, 4), range(4, 10), range(12, 13), range(990, 2005), range(4999, sys.maxsize)]
    batches = read([path], ["n"], ["n"], spans)
    wanted = [at for span in spans[:-1] for at in span] + [4999]
    assert cells(batches, "n") == wanted
    for batch in batches:
        assert batch.inputs["n"].to_pylist() == [row.index for row in batch.rows]
        assert batch.rows[-1].index - batch.start == len(batch.rows) - 1
    assert read([path], ["n"], spans=[]) == []
    assert read([path], ["n"], spans=[range(5000, sys.maxsize)]) == []


def test_row_groups_outside_the_spans_are_never_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(4000), row_group_size=1000)
    for group in (0, 2):
        damage(path, group)
    assert cells(read([path], ["n"], spans=[range(1000, 2000), range(3500, 3501)]), "n") == [
        *range(1000, 2000),
        3500,
    ]


def test_a_file_outside_the_spans_is_never_opened_again(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{at}.parquet", numbered(10)) for at in (1, 2, 3)]
    dataset = open_dataset(paths)
    Path(paths[0]).unlink()
    Path(paths[2]).unlink()
    batches = list(dataset.batches(columns=["n"], keep=[], spans=[range(12, 20)]))
    assert [row.index for batch in batches for row in batch.rows] == list(range(12, 20))


def test_a_page_damaged_in_mid_run_names_file_and_row_group(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(4000), row_group_size=1000)
    damage(path, 2)
    rows = open_dataset([path]).batches(columns=["n"], keep=[], spans=ALL)
    read_rows: list[int] = []
    with pytest.raises(MachineFault, match=r"x\.parquet, row group 2, cannot be read"):
        read_rows.extend(row.index for batch in rows for row in batch.rows)
    assert read_rows == list(range(2000))


def test_a_page_whose_checksum_is_wrong_is_never_asked_about(tmp_path: Path) -> None:
    table = pa.table({"text": [f"a secret number of {n} apples" for n in range(100)]})
    path = write(
        tmp_path / "x.parquet",
        table,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    data = Path(path).read_bytes()
    Path(path).write_bytes(data.replace(b"of 50 apples", b"of 51 apples", 1))
    with pytest.raises(MachineFault, match="row group 0, cannot be read"):
        read([path], ["text"])


def test_a_file_replaced_in_mid_run_stops_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(10))
    dataset = open_dataset([path])
    write(tmp_path / "x.parquet", numbered(9))
    with pytest.raises(MachineFault, match="has changed"):
        next(dataset.batches(columns=["n"], keep=[], spans=ALL))


def test_batches_stay_near_a_megabyte_and_a_huge_row_stands_alone(tmp_path: Path) -> None:
    texts = ["x" * 3000] * 2000 + ["y" * 5_000_000] + ["z" * 10] * 2000
    path = write(tmp_path / "x.parquet", pa.table({"text": texts}))
    batches = read([path], ["text"], ["text"])
    assert cells(batches, "text") == texts
    assert [len(batch.rows) for batch in batches if batch.inputs.nbytes > MAX_BYTES] == [1]


def test_unneeded_columns_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(100))
    damage(path, 0, column=1)
    assert cells(read([path], ["n"]), "n") == list(range(100))


def test_without_any_column_the_rows_are_still_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(3))
    (batch,) = read([path], [])
    assert [(row.index, row.cells) for row in batch.rows] == [(0, {}), (1, {}), (2, {})]
    assert batch.inputs.num_rows == 3


def test_unified_inputs_have_one_type_and_cells_keep_the_files_own(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.parquet", pa.table({"n": [1], "a": ["x"]})),
        write(tmp_path / "2.parquet", pa.table({"n": [1.5]})),
    ]
    batches = read(paths, ["n", "a"], ["n", "a"])
    assert [repr(n) for n in cells(batches, "n")] == ["1", "1.5"]
    assert cells(batches, "a") == ["x", None]
    for batch in batches:
        assert batch.inputs.schema.names == ["n", "a"]
        assert batch.inputs.schema.types == [pa.float64(), pa.string()]
    assert [batch.inputs.to_pylist()[0] for batch in batches] == [
        {"n": 1.0, "a": "x"},
        {"n": 1.5, "a": None},
    ]


def test_folders_give_their_value_to_each_row(tmp_path: Path) -> None:
    write(tmp_path / "lang=en" / "x.parquet", numbered(2))
    write(tmp_path / "lang=zh" / "x.parquet", numbered(1))
    batches = read([str(tmp_path)], ["lang"], ["lang"])
    assert cells(batches, "lang") == ["en", "en", "zh"]
    assert [value for b in batches for value in b.inputs["lang"].to_pylist()] == ["en", "en", "zh"]


def test_names_with_dots_are_columns_like_others(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", pa.table({"a.b": [1], "a": [{"c": 2}]}))
    assert read([path], ["a.b"], ["a.b"])[0].rows[0].cells == {"a.b": 1}
    assert read([path], ["a"])[0].rows[0].cells == {"a": {"c": 2}}


def test_times_come_as_pythons_own_even_in_nanoseconds(tmp_path: Path) -> None:
    nanoseconds = 1_700_000_000_123_456_789
    table = pa.table(
        {
            "at": pa.array([nanoseconds], pa.timestamp("ns")),
            "took": pa.array([1_001], pa.duration("ns")),
            "time": pa.array([1_001], pa.time64("ns")),
        }
    )
    path = write(tmp_path / "x.parquet", table)
    (batch,) = read([path], table.column_names, table.column_names)
    assert batch.rows[0].cells == {
        "at": dt.datetime(2023, 11, 14, 22, 13, 20, 123456),  # noqa: DTZ001 - has no zone
        "took": dt.timedelta(microseconds=1),
        "time": dt.time(microsecond=1),
    }
    assert batch.inputs["at"].cast(pa.int64()).to_pylist() == [nanoseconds]


@pytest.mark.parametrize("how", ["as a cell", "as an input"])
def test_text_that_is_not_utf_8_flaws_its_row_alone(tmp_path: Path, how: str) -> None:
    values = pa.array([b"good", b"b\xffd", b"fine"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, values.buffers())
    path = write(tmp_path / "x.parquet", pa.table({"text": text, "n": [0, 1, 2]}))
    (batch,) = read([path], ["text"] if how == "as a cell" else ["n"], ["text", "n"])
    assert [row.flaw is None for row in batch.rows] == [True, False, True]
    flaw = batch.rows[1].flaw or ""
    assert "row 1 in" in flaw
    assert "column 'text' cannot be read as string" in flaw
    assert set(batch.rows[1].cells.values()) == {""}
    assert batch.inputs.to_pylist() == [
        {"text": "good", "n": 0},
        {"text": None, "n": None},
        {"text": "fine", "n": 2},
    ]


def test_a_number_too_large_for_the_unified_type_is_told(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.parquet", pa.table({"n": [2**60 + 1]})),
        write(tmp_path / "2.parquet", pa.table({"n": [1.5]})),
    ]
    with pytest.raises(MachineFault, match=r"1\.parquet, column 'n', cannot be read"):
        read(paths, [], ["n"])


def test_unknown_columns_are_refused_naming_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", numbered(1))
    for columns, keep in ((["txt"], []), ([], ["txt"])):
        with pytest.raises(DatasetError, match=r"no column 'txt'; it has: n, text"):
            open_dataset([path]).batches(columns=columns, keep=keep, spans=ALL)


NESTED = st.fixed_dictionaries(
    {
        "messages": st.none()
        | st.lists(
            st.fixed_dictionaries({"role": st.text(max_size=5), "content": st.none() | st.text()}),
            max_size=3,
        ),
        "tags": st.none() | st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3),
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "flag": st.none() | st.booleans(),
        "raw": st.none() | st.binary(max_size=5),
    }
)
NESTED_SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("tags", pa.map_(pa.string(), pa.int64())),
        ("n", pa.int64()),
        ("flag", pa.bool_()),
        ("raw", pa.binary()),
    ]
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(NESTED, min_size=1, max_size=20), st.integers(1, 7))
def test_nested_values_come_back_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], group_rows: int
) -> None:
    table = pa.Table.from_pylist(rows, schema=NESTED_SCHEMA)
    path = write(tmp_path_factory.mktemp("nested") / "x.parquet", table, row_group_size=group_rows)
    batches = read([path], table.column_names, table.column_names)
    assert [dict(row.cells) for batch in batches for row in batch.rows] == rows
    assert pa.Table.from_batches([batch.inputs for batch in batches]).equals(table)
