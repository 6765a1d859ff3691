from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import open_dataset
from runner.records import Row
from runner.row_ids import DoubleIds, SeenIds, noting_ids, row_id

if TYPE_CHECKING:
    from pathlib import Path


def seen_of(path: Path, ids: list[Any]) -> SeenIds:
    pq.write_table(pa.table({"id": ids, "text": ["x"] * len(ids)}), path)
    seen = SeenIds("id")
    batches = open_dataset([str(path)]).batches(
        columns=["id", "text"], keep=(), spans=[range(len(ids))]
    )
    for batch in noting_ids(batches, seen, ["text"]):
        assert list(batch.cells) == ["text"]
        assert len(batch.rows) == len(batch)
    return seen


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([3, 1, 2], None),
        ([7], None),
        (["a", "b", "a", "b", "a"], DoubleIds("id", 3, 2, 0)),
        (["a", None, "b", None], DoubleIds("id", 1, 3, 1)),
    ],
)
def test_rows_with_an_earlier_row_s_id_are_found(
    tmp_path: Path, ids: list[Any], expected: DoubleIds | None
) -> None:
    assert seen_of(tmp_path / "x.parquet", ids).doubles() == expected


def test_of_many_rows_the_first_is_named(tmp_path: Path) -> None:
    ids = list(range(30_000))
    ids[20_000], ids[29_999] = 9, 4
    found = seen_of(tmp_path / "x.parquet", ids).doubles()
    assert found == DoubleIds("id", 2, 20_000, 9)


def test_an_id_is_the_same_in_every_format() -> None:
    number, text, other = (row_id(Row(0, {"id": cell}), "id") for cell in (7, "7", "8"))
    assert number == text != other
