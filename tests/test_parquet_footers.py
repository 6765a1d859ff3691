from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import open_dataset
from runner.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


def schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), str(path))
    return str(path)


def test_what_is_no_whole_parquet_file_is_refused_and_told(tmp_path: Path) -> None:
    whole = (tmp_path / "whole.parquet", write(tmp_path / "whole.parquet", a=list(range(1000))))[0]
    data = whole.read_bytes()
    refused = {
        b"": r"x\.parquet is empty \(0 bytes\)",
        b"id,text\n1,hi\n": r"x\.parquet is not a Parquet file: it begins with b'id,t'",
        b"PAR1": r"x\.parquet is a truncated Parquet file",
        data[: len(data) // 2]: "truncated Parquet file: its footer is missing",
        data[:-1]: "truncated Parquet file",
        data[:-8] + b"\xff\xff\xff\x7f" + b"PAR1": r"x\.parquet: the Parquet footer cannot be read",
        data[:-200] + b"\xee" * 192 + data[-8:]: "the Parquet footer cannot be read",
        b"PARE" + data[4:-4] + b"PARE": "is encrypted",
    }
    for content, message in refused.items():
        (tmp_path / "x.parquet").write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            open_dataset([str(tmp_path / "x.parquet")])


def test_a_file_without_rows_is_refused_but_not_among_others(tmp_path: Path) -> None:
    none = write(tmp_path / "none.parquet", a=pa.array([], pa.int64()))
    some = write(tmp_path / "some.parquet", a=[1])
    with pytest.raises(DatasetError, match=r"none\.parquet: the dataset has no rows"):
        open_dataset([none])
    assert open_dataset([none, some]).total_rows == 1


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["text", "text"]), path)
    with pytest.raises(DatasetError, match=r"x\.parquet has more than one column named 'text'"):
        open_dataset([path])


def test_files_of_differing_columns_are_unified(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.parquet", id=pa.array([1], pa.int32()), text=["a"], gone=pa.nulls(1)),
        write(tmp_path / "2.parquet", more=[1.5], id=pa.array([2], pa.int64()), gone=["x"]),
        write(tmp_path / "3.parquet", text=pa.array(["b"]).dictionary_encode()),
    ]
    assert open_dataset(paths).schema == schema(
        id=pa.int64(), text=pa.string(), gone=pa.string(), more=pa.float64()
    )


def test_a_clash_of_types_names_both_files_and_the_column(tmp_path: Path) -> None:
    paths = [write(tmp_path / "1.parquet", id=[1]), write(tmp_path / "2.parquet", id=["one"])]
    with pytest.raises(
        DatasetError, match=r"column 'id' is int64 in .*1\.parquet and string in .*2\.parquet"
    ):
        open_dataset(paths)


def test_folders_columns_are_text_and_yield_to_the_files_own(tmp_path: Path) -> None:
    write(tmp_path / "day=007" / "lang=en" / "x.parquet", text=["a"], lang=["own"])
    assert open_dataset([str(tmp_path)]).schema == schema(
        text=pa.string(), lang=pa.string(), day=pa.string()
    )


def test_notes_that_writers_leave_in_the_schema_are_no_part_of_it(tmp_path: Path) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"pandas": "{}"})
    pq.write_table(table, str(tmp_path / "x.parquet"))
    assert open_dataset([str(tmp_path / "x.parquet")]).schema.metadata is None
