from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from small_folder import Small
from some_results import some_failure, some_result

from runner.asked_again import Retry
from runner.pilot import pilot_rows, pilot_spans

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("wanted", "of"), [(2, 3), (10, 100), (100, 20_000), (7, 50), (99, 100)])
def test_one_row_of_each_of_as_many_equal_stretches_is_asked(wanted: int, of: int) -> None:
    rows = pilot_rows(wanted, of)
    assert len(rows) == wanted
    for at, row in enumerate(rows):
        assert at * of // wanted <= row < (at + 1) * of // wanted


def test_the_same_command_finds_the_same_rows_and_another_seed_others() -> None:
    assert pilot_rows(10, 1000) == pilot_rows(10, 1000) != pilot_rows(10, 1000, seed=1)


def test_all_rows_are_asked_where_there_are_not_more() -> None:
    assert pilot_rows(5, 3) == (0, 1, 2)
    assert pilot_rows(5, 0) == ()


def test_a_larger_pilot_keeps_the_rows_of_a_smaller_one() -> None:
    few = pilot_rows(10, 1000)
    more = pilot_rows(50, 1000, known=few)
    assert len(more) == 50
    assert set(few) < set(more)
    assert pilot_rows(5, 1000, known=few) == few


def test_rows_behind_a_narrower_scope_are_left_out() -> None:
    assert max(pilot_rows(10, 500, known=pilot_rows(10, 1000))) < 500


def test_rows_of_sealed_blocks_are_not_read_again() -> None:
    assert pilot_spans([1, 5, 9], 4, {}, ()) == [range(1, 2), range(5, 6), range(9, 10)]


async def test_scattered_rows_stay_journalled_and_cost_nothing_when_the_whole_run_goes_on(
    tmp_path: Path,
) -> None:
    small = Small(tmp_path / "run", rows=20, pilot=(1, 6, 18))
    assert await small.go(end=20) == [1, 6, 18]
    assert small.journalled() == ["00000.jsonl", "00001.jsonl", "00004.jsonl"]
    assert small.parts() == {}
    assert await small.go(end=20) == []
    small.pilot = None
    assert await small.go(end=20) == sorted({*range(20)} - {1, 6, 18})
    assert small.completions() == {row: f"answer {row}" for row in range(20)}
    assert small.journalled() == []


async def test_a_pilot_that_fills_many_blocks_does_not_wait_for_them(tmp_path: Path) -> None:
    small = Small(tmp_path / "run", rows=400, pilot=tuple(range(0, 400, 4)))
    async with small.kept() as keeping:
        asked = small.read(keeping, end=400)
        assert not keeping.is_full
        for row in asked:
            await keeping.keep(some_result(row))
    assert len(small.journalled()) == 100


async def test_a_failed_row_of_a_pilot_may_be_asked_again(tmp_path: Path) -> None:
    small = Small(tmp_path / "run", rows=20, pilot=(1, 6))
    await small.go(end=20, answer=some_failure)
    assert await small.go(end=20, retry=Retry(["failed"], None)) == [1, 6]
    assert await small.go(end=20, retry=Retry(["failed"], None)) == []
