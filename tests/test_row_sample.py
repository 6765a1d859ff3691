from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import open_dataset
from runner.estimate.ranges import Range
from runner.estimate.row_sample import Sample, Weighed, count_rows, spread_cheaply, spread_evenly

if TYPE_CHECKING:
    from pathlib import Path


def rows_in(spans: list[range]) -> list[int]:
    return [row for span in spans for row in span]


def test_rows_are_spread_evenly_and_all_are_taken_where_there_are_not_more() -> None:
    assert rows_in(spread_evenly(100, 4)) == [12, 37, 62, 87]
    assert rows_in(spread_evenly(10, 3)) == [1, 5, 8]
    assert spread_evenly(7, 7) == [range(7)]
    assert spread_evenly(7, 100) == [range(7)]


@pytest.mark.parametrize("rows", [101, 1000, 99_991])
def test_no_row_is_taken_twice(rows: int) -> None:
    found = rows_in(spread_evenly(rows, 100))
    assert len(found) == len(set(found)) == 100
    assert sorted(found) == found
    assert found[-1] < rows


def test_a_sum_over_a_sample_stands_for_the_sum_over_all_rows() -> None:
    assert Sample(10, 1000).scaled(5) == 500
    assert Sample(10, 10).scaled(5) == 5
    assert Sample(10, 5).scaled(4) == 2  # more were looked at than are left


def test_nothing_is_left_to_chance_where_all_rows_were_looked_at() -> None:
    assert Sample(3, 3).margin(Weighed(6, 14)) == 0
    assert Sample(3, 3).between(Weighed(6, 14), Weighed(12, 56)) == Range(6, 12)


def test_the_margin_holds_the_truth_in_about_95_of_100_samples() -> None:
    dice = Random(6)
    lengths = [round(dice.lognormvariate(4, 1)) for _ in range(5000)]
    held = 0
    for _ in range(400):
        drawn = dice.sample(lengths, 400)
        sample = Sample(400, 5000)
        total = Weighed(sum(drawn), sum(one * one for one in drawn))
        found = sample.between(total, total)
        held += found.low <= sum(lengths) <= found.high
    assert 360 <= held <= 396


def parquet(folder: Path, rows: int, group: int) -> str:
    path = folder / "x.parquet"
    pq.write_table(pa.table({"n": range(rows)}), path, row_group_size=group)
    return str(path)


def test_cheap_rows_lie_at_the_beginnings_of_row_groups_all_over_the_file(tmp_path: Path) -> None:
    dataset = open_dataset([parquet(tmp_path, 100_000, 1000)])
    spans, place = spread_cheaply(dataset, None, 500)
    found = rows_in(spans)
    assert 450 <= len(found) <= 550
    assert found == sorted(set(found))
    assert found[-1] > 90_000
    assert "25 of 100 row group(s)" in place
    # and they can be read
    batches = dataset.batches(columns=["n"], keep=(), spans=spans)
    assert [row.cells["n"] for batch in batches for row in batch.rows] == found


def test_one_large_row_group_is_not_read_to_its_end(tmp_path: Path) -> None:
    dataset = open_dataset([parquet(tmp_path, 200_000, 200_000)])
    spans, place = spread_cheaply(dataset, None, 100)
    assert max(rows_in(spans)) < 50_000
    assert "the first 50,000 rows of 1 of 1" in place


def test_the_scope_bounds_what_is_looked_at(tmp_path: Path) -> None:
    dataset = open_dataset([parquet(tmp_path, 10_000, 1000)])
    assert spread_cheaply(dataset, 5, 100)[0] == [range(5)]
    assert max(rows_in(spread_cheaply(dataset, 2500, 100)[0])) < 2500


def test_of_a_text_file_the_first_rows_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 50)
    assert spread_cheaply(open_dataset([str(path)]), None, 20) == ([range(20)], "the first rows")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_rows_of_a_large_text_file_can_be_counted(tmp_path: Path, kind: str) -> None:
    paths = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{kind}"
        line = '{"a":"' + "x" * 90 + '"}\n' if kind == "jsonl" else "x" * 90 + "\n"
        path.write_text(("a\n" if kind == "csv" else "") + line * 15_000)
        paths.append(str(path))
    dataset = open_dataset(paths)
    assert dataset.total_rows is None
    assert count_rows(dataset) == 30_000


@pytest.mark.parametrize("seed", [20261124])
@pytest.mark.parametrize("rows", [2, 3, 5, 10])
def test_the_error_of_few_rows_holds_in_95_of_100_cases(rows: int, seed: int) -> None:
    dice, of, held = Random(seed), 10_000, 0
    for _ in range(2000):
        seen = [dice.gauss(100, 20) for _ in range(rows)]
        found = Weighed(sum(seen), sum(one * one for one in seen))
        sample = Sample(rows, of)
        held += abs(sample.scaled(found.total) - 100 * of) <= sample.margin(found)
    assert 0.935 < held / 2000 < 0.965, seed


def test_a_single_row_may_mislead_by_all_that_it_says() -> None:
    assert Sample(1, 50).margin(Weighed(7, 49)) == 350
    assert Sample(1, 1).margin(Weighed(7, 49)) == 0
