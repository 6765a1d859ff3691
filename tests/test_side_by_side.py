"""A run's rows with their inputs, whether they lie in parts, in journals or nowhere yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from some_runs import SomeRun, questions

from runner.errors import DatasetError
from runner.kept import Kept
from runner.side_by_side import Rows

if TYPE_CHECKING:
    from pathlib import Path


def rows_of(run: SomeRun, *, with_pending: bool = False) -> list[dict[str, Any]]:
    rows = Rows(run.folder, run.run, with_pending=with_pending)
    return pa.Table.from_batches(
        [batch for table in rows.tables() for batch in table.to_batches()], rows.schema
    ).to_pylist()


def numbers(run: SomeRun, *, with_pending: bool = False) -> list[int]:
    found = rows_of(run, with_pending=with_pending)
    assert all(row["id"] == f"id-{row['row']}" for row in found)
    return [row["row"] for row in found]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_rows_come_in_order_from_parts_and_journals_in_turn(tmp_path: Path, kind: str) -> None:
    run = SomeRun(tmp_path, questions(19), format=kind)
    run.seal(0)
    run.journal(run.answer(6), run.answer(5))
    run.seal(2)
    run.seal(3)
    run.journal(run.answer(17))
    expected = [0, 1, 2, 3, 5, 6, *range(8, 16), 17]
    assert numbers(run) == expected
    assert numbers(run, with_pending=True) == list(range(19))
    found = rows_of(run, with_pending=True)
    assert [row["row"] for row in found if row["completion"] is not None] == expected
    assert all(row["attempts"] == 0 for row in found if row["completion"] is None)


def test_newer_results_in_a_journal_replace_those_of_the_part(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(4))
    run.seal(0, [run.answer(0), run.failure(1), run.answer(2), run.answer(3)])
    run.journal(run.answer(1, completion="at last"))
    assert [row["completion"] for row in rows_of(run)][1] == "at last"


def test_pending_rows_end_where_the_scope_does(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(12), first=6)
    run.seal(0)
    run.journal(run.answer(9))  # answered under a wider scope, and kept
    assert numbers(run, with_pending=True) == [0, 1, 2, 3, 4, 5, 9]


def test_pending_rows_of_a_dataset_without_known_end_go_to_its_end(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(11), known_end=False)
    run.journal(run.answer(5))
    assert numbers(run, with_pending=True) == list(range(11))


def test_a_short_part_is_followed_by_its_pending_rows(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(8))
    run.seal(0, [run.answer(0), run.answer(1)])
    assert numbers(run) == [0, 1]
    assert numbers(run, with_pending=True) == list(range(8))


def test_a_block_sealed_after_the_plan_was_made_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(12))
    run.seal(0)
    run.journal(run.answer(4), run.answer(8))
    rows = Rows(run.folder, run.run, with_pending=False)
    run.seal(1)
    run.folder.journal.joinpath("00001.jsonl").unlink()
    assert [row for table in rows.tables() for row in table["row"].to_pylist()] == [*range(9)]


def test_whole_parquet_parts_need_no_dataset(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(8))
    run.seal(0)
    run.seal(1)
    run.data.unlink()
    assert numbers(run) == list(range(8))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_other_parts_need_it_and_say_so(tmp_path: Path, kind: str) -> None:
    run = SomeRun(tmp_path, questions(8), format=kind)
    run.seal(0)
    run.data.unlink()
    with pytest.raises(DatasetError, match="needs the dataset for its columns"):
        rows_of(run)


def test_a_dataset_with_other_contents_is_never_laid_beside_the_answers(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(8))
    run.journal(run.answer(0))
    run.data.write_bytes(run.data.read_bytes().replace(b"question 0", b"question 9"))
    with pytest.raises(DatasetError, match="has changed since the run began"):
        rows_of(run)


def test_a_dataset_that_was_only_touched_is_the_same(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(8))
    run.journal(run.answer(0))
    run.data.write_bytes(run.data.read_bytes())
    assert numbers(run) == [0]


def test_each_part_and_journal_is_read_once_however_many_batches_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SomeRun(tmp_path, questions(12), format="csv")
    for block in range(3):
        run.seal(block)
    read: list[int] = []
    results = Kept.results

    def spied(self: Kept, block: int, rows: range | None = None) -> Any:
        read.append(block)
        return results(self, block, rows)

    monkeypatch.setattr(Kept, "results", spied)
    assert numbers(run, with_pending=True) == list(range(12))
    assert read == [0, 1, 2]


def test_kept_columns_and_prefix_are_the_jobs(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(5), keep=["note"], prefix="plus_")
    run.seal(0)
    run.journal(run.answer(4))
    found = rows_of(run)
    assert list(found[0])[:3] == ["note", "plus_row", "plus_completion"]
    assert [row["plus_row"] for row in found] == list(range(5))
