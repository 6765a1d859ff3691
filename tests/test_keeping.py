"""Every result is kept once, whatever came before and whatever comes between."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from slow_disk import SlowDisk
from small_folder import Small, batch, until
from some_results import some_bill, some_failure, some_result

from runner.asked_again import Retry
from runner.errors import MachineFault
from runner.journal import encode_line
from runner.room import (
    ASKED_BYTES,
    LEAST_OPEN_ROWS,
    MOST_ANSWERED_BYTES,
    MOST_ANSWERED_BYTES_OF_FEW,
    MOST_OPEN_BLOCKS,
)

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Result

WORKERS = 10


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path / "run", rows=10)


def all_of(rows: int) -> dict[int, str | None]:
    return {row: f"answer {row}" for row in range(rows)}


async def test_a_whole_run_leaves_parts_in_order_and_no_journal(small: Small) -> None:
    assert await small.go() == list(range(10))
    assert small.completions() == all_of(10)
    assert [len(part) for part in small.parts().values()] == [4, 4, 2]
    assert small.journalled() == []


async def test_a_block_is_sealed_as_soon_as_it_is_complete_whatever_the_order(
    small: Small,
) -> None:
    async with small.kept() as keeping:
        small.read(keeping, end=None)
        for row in (7, 5, 4, 6, 0, 1, 3):
            await keeping.keep(some_result(row))
        await until(lambda: small.journalled() == ["00000.jsonl"])
        assert list(small.parts()) == [1]
        await keeping.keep(some_result(2))
    assert small.completions() == all_of(8)


async def test_a_result_counts_only_when_it_is_on_disk(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk()
    async with small.kept() as keeping:
        small.read(keeping, end=None)
        await keeping.keep(some_result(0))
        monkeypatch.setattr(os, "fsync", disk)
        await until(disk.begun.is_set)
        assert keeping.tally.rows == 0
        disk.may_end.set()
        await until(lambda: keeping.tally.rows == 1)


async def test_what_is_pending_is_asked_by_the_next_run_and_nothing_else(small: Small) -> None:
    await small.go(answer=lambda row: None if row in {2, 9} else some_result(row))
    assert list(small.parts()) == [1]
    assert await small.go() == [2, 9]
    assert small.completions() == all_of(10)


async def test_a_finished_run_reads_and_asks_nothing(small: Small) -> None:
    await small.go(end=10)
    async with small.kept() as keeping:
        assert keeping.spans(10) == []
        assert keeping.tally.rows == 10
    async with small.kept() as keeping:
        assert small.read(keeping, end=None) == []
        assert keeping.end(0) == 10, "the end is known from the parts"


async def test_a_wider_scope_costs_only_the_new_rows(small: Small) -> None:
    assert await small.go(end=6) == [0, 1, 2, 3, 4, 5]
    assert [len(part) for part in small.parts().values()] == [4, 2]
    first = small.folder.seals(small.run_file).part(0).stat().st_mtime_ns
    assert await small.go(end=10) == [6, 7, 8, 9]
    assert small.completions() == all_of(10)
    assert small.folder.seals(small.run_file).part(0).stat().st_mtime_ns == first


async def test_a_narrower_scope_loses_nothing_that_was_kept_behind_it(small: Small) -> None:
    await small.go(answer=lambda row: some_result(row) if row in {0, 2, 3, 8} else None)
    assert await small.go(end=2, answer=some_result) == [1]
    assert await small.go(end=2) == []
    assert await small.go() == [4, 5, 6, 7, 9]
    assert small.completions() == all_of(10)


async def test_results_in_the_journal_are_asked_no_second_time(small: Small) -> None:
    small.folder.prepare()
    lines = b"".join(encode_line(some_result(row)) for row in (0, 3, 1))
    (small.folder.journal / "00000.jsonl").write_bytes(lines + encode_line(some_result(2))[:-1])
    assert await small.go(end=4) == [2]
    assert small.completions() == all_of(4)


async def test_a_damaged_line_is_told_and_its_row_asked_again(small: Small) -> None:
    await small.go(answer=lambda row: some_result(row) if row < 3 else None)
    path = small.folder.journal / "00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"answer 1", b"answer 8"))
    assert await small.go(end=4) == [1, 3]
    assert small.said == [f"{path}, line 2, is damaged; its row is asked again."]
    assert small.completions() == all_of(4)


async def test_a_complete_journal_is_sealed_without_asking(small: Small) -> None:
    small.folder.prepare()
    lines = b"".join(encode_line(some_result(row)) for row in range(4))
    (small.folder.journal / "00000.jsonl").write_bytes(lines)
    assert await small.go(end=4) == []
    assert (small.completions(), small.journalled()) == (all_of(4), [])


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
async def test_failed_rows_asked_again_are_sealed_anew_with_all_that_was_billed(
    small: Small, kind: str
) -> None:
    small.settings["format"] = kind
    failed = some_failure(5, prompt_tokens=10, completion_tokens=5, total_tokens=15, cost=0.5,
                          currency="USD", cached_tokens=0, reasoning_tokens=0)  # fmt: skip
    await small.go(answer=lambda row: {5: failed, 6: some_failure(6)}.get(row, some_result(row)))

    def again(row: int) -> Result:
        assert keeping.before(row) is not None
        return some_result(row, attempts=4, unmetered_attempts=1, total_tokens=55, cost=0.75)

    async with small.kept(Retry(["failed"], None)) as keeping:
        assert small.read(keeping, end=10) == [5, 6]
        assert keeping.tally.failed == 2, "until their new results are there"
        assert keeping.before(5) == failed
        assert keeping.before(4) is None
        await keeping.keep(again(5))
    assert (keeping.tally.rows, keeping.tally.failed) == (10, 1)
    assert keeping.tally.failures["timeout"].row == 6, "the example is one that still holds"
    assert await small.go() == [], "row 6 keeps its failure until somebody asks for it"
    assert small.completions() == {**all_of(10), 6: None}
    tally = small.folder.seals(small.run_file).records()[1].tally
    assert (tally.rows, tally.failed, tally.requests) == (4, 1, 2 + 4 + 3)
    assert (tally.unmetered_attempts, tally.total_tokens) == (2, 2 * 40 + 55)
    assert tally.cost == 2 * 0.000123 + 0.75


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("length", some_result(1, finish_reason="length")),
        ("empty", some_result(1, completion="")),
        ("failed", some_failure(1)),
        ("timeout", some_failure(1)),
    ],
)
async def test_every_kind_of_poor_answer_in_a_part_can_be_asked_again(
    small: Small, kind: str, result: Result
) -> None:
    await small.go(answer=lambda row: result if row == 1 else some_result(row))
    assert await small.go(retry=Retry(["server_error"], None)) == []
    assert small.said[0].startswith("--retry server_error: no row has such a result; failures")
    assert await small.go(retry=Retry([kind], None)) == [1]
    assert small.completions() == all_of(10)


async def test_a_retry_that_is_cut_short_keeps_the_old_results(small: Small) -> None:
    await small.go(answer=some_failure)
    assert await small.go(retry=Retry(["failed"], None), answer=lambda _: None) == list(range(10))
    assert small.completions() == dict.fromkeys(range(10))
    answered = {0: some_result(0)}
    await small.go(retry=Retry(["failed"], None), answer=answered.get)
    async with small.kept() as keeping:
        assert (keeping.tally.rows, keeping.tally.failed) == (10, 9)
        assert keeping.tally.unmetered_attempts == 9
        assert small.read(keeping, end=10) == []
    assert small.completions() == {**dict.fromkeys(range(10)), 0: "answer 0"}


async def test_a_damaged_part_is_not_merged_into_a_new_one(small: Small) -> None:
    await small.go(answer=lambda row: some_failure(row) if row == 2 else some_result(row))
    part = small.folder.seals(small.run_file).part(0)
    content = bytearray(part.read_bytes())
    content[100] ^= 1
    part.write_bytes(content)
    with pytest.raises(MachineFault, match=r"part-00000\.parquet is damaged"):
        await small.go(retry=Retry(["failed"], None))
    assert part.read_bytes() == content


async def test_a_journal_that_cannot_be_written_stops_the_keeping(small: Small) -> None:
    def answer(row: int) -> Result:
        with suppress(FileNotFoundError):
            small.folder.journal.rmdir()
        return some_result(row)

    with pytest.raises(MachineFault, match=r"cannot open .*00000\.jsonl"):
        await small.go(answer=answer)


@pytest.mark.parametrize("place", ["completions", "seals"])
async def test_a_part_that_cannot_be_written_stops_the_keeping(small: Small, place: str) -> None:
    def answer(row: int) -> Result:
        with suppress(FileNotFoundError):
            (small.path / place).rmdir()
        return some_result(row)

    with pytest.raises(MachineFault, match=r"cannot write .*part-0000\d.parquet"):
        await small.go(answer=answer)
    assert await small.go() == [], "every result was in the journal"
    assert small.completions() == all_of(10)


async def test_reading_waits_behind_a_straggler_and_goes_on_after_it(tmp_path: Path) -> None:
    blocks = MOST_OPEN_BLOCKS + 1
    heavy = "x" * (MOST_ANSWERED_BYTES // (3 * MOST_OPEN_BLOCKS))
    small = Small(tmp_path / "run", rows=4 * blocks)
    async with small.kept() as keeping:
        for start in range(0, 4 * blocks, 4):
            await keeping.wait_for_room(WORKERS)
            keeping.take(batch(range(start, start + 4), text=lambda _: heavy), None)
            for row in range(start + 1, start + 4):  # the first of each is a straggler
                await keeping.keep(some_result(row))
            await until(lambda: keeping.tally.rows == 3 * (start // 4 + 1))  # noqa: B023
        waiting = asyncio.create_task(keeping.wait_for_room(WORKERS))
        await until(lambda: keeping.is_full)
        await keeping.keep(some_result(0))
        await waiting
        assert not keeping.is_full
    assert small.said == [
        (
            f"Reading waits: {blocks} blocks are open behind rows that are still being tried, the "
            f"first of them row 0."
        )
    ]


async def test_one_straggler_holds_nobody_back(tmp_path: Path) -> None:
    rows = 4 * (MOST_OPEN_BLOCKS + 1)
    small = Small(tmp_path / "run", rows=rows)
    heavy = "x" * (MOST_ANSWERED_BYTES // 32)
    async with small.kept() as keeping:
        for start in range(0, rows, 4):
            keeping.take(batch(range(start, start + 4), text=lambda _: heavy), None)
            for row in range(max(start, 1), start + 4):
                await keeping.keep(some_result(row))
        await until(lambda: len(small.folder.seals(small.run_file).blocks()) == MOST_OPEN_BLOCKS)
        assert not keeping.is_full


async def test_large_rows_are_read_no_further_than_workers_want_them(tmp_path: Path) -> None:
    small = Small(tmp_path / "run", rows=1000, block_rows=50)
    row_bytes = 1 << 18
    async with small.kept() as keeping:
        taken = 0
        for workers in (WORKERS, 50):
            await keeping.wait_for_room(workers)
            while not keeping.is_full:
                keeping.take(batch(range(taken, taken + 5), text=lambda _: "x" * row_bytes), None)
                taken += 5
            assert 0 <= taken - max(2 * workers, ASKED_BYTES / row_bytes) <= 5
        for row in range(taken):
            await keeping.keep(some_result(row))
        await keeping.wait_for_room(50)
        assert not keeping.is_full


async def test_a_block_above_every_bound_is_read_to_its_end_alone(tmp_path: Path) -> None:
    size = 10 * LEAST_OPEN_ROWS
    small = Small(tmp_path / "run", rows=2 * size, block_rows=size)
    heavy = "x" * (2 * MOST_ANSWERED_BYTES_OF_FEW // size)
    async with small.kept() as keeping:
        for row in range(size):
            assert not keeping.is_full, "it could never become complete"
            keeping.take(batch(range(row, row + 1), text=lambda _: heavy), None)
        keeping.take(batch(range(size, size + 1), text=lambda _: heavy), None)
        assert keeping.is_full, "none is begun beside it"
        for row in range(size):
            await keeping.keep(some_result(row))
        await keeping.wait_for_room(WORKERS)
        keeping.take(batch(range(size + 1, size + 2), text=lambda _: heavy), None)
        assert not keeping.is_full


async def test_small_blocks_hold_nobody_back(tmp_path: Path) -> None:
    small = Small(tmp_path / "run", rows=400)
    async with small.kept() as keeping:
        small.read(keeping, end=None)
        assert not keeping.is_full


async def test_enough_huge_rows_are_taken_to_judge_a_configuration_by(tmp_path: Path) -> None:
    small = Small(tmp_path / "run", rows=100, block_rows=1)
    async with small.kept() as keeping:
        taken = 0
        while not keeping.is_full:
            keeping.take(batch(range(taken, taken + 1), text=lambda _: "x" * (5 << 20)), None)
            taken += 1
    assert taken == LEAST_OPEN_ROWS + 1


async def test_a_bill_counts_without_a_row_and_goes_into_the_rows_result(small: Small) -> None:
    async with small.kept() as keeping:
        small.read(keeping, end=None)
        await keeping.keep_bill(some_bill(1))
        await keeping.keep_bill(some_bill(1, attempts=3, cost=0.0001))
        await keeping.keep(some_result(0))
    assert (keeping.tally.rows, keeping.tally.requests, keeping.tally.retries) == (1, 4, 2)
    assert keeping.tally.costs_pico == {"USD": 123_000_000 + 100_000_000}
    async with small.kept() as keeping:
        assert (keeping.tally.rows, keeping.tally.requests) == (1, 4)
        assert small.read(keeping, end=None) == list(range(1, 10))
        assert keeping.before(1) == some_bill(1, attempts=3, cost=0.0001)
        assert keeping.before(2) is None
        await keeping.keep(some_result(1, attempts=4, cost=0.0005))
        for row in range(2, 10):
            await keeping.keep(some_result(row))
    assert (keeping.tally.rows, keeping.tally.requests) == (10, 13)
    assert keeping.tally.costs_pico == {"USD": 9 * 123_000_000 + 500_000_000}
    assert small.completions() == all_of(10)


async def test_a_failed_row_asked_again_in_vain_keeps_what_that_cost(small: Small) -> None:
    await small.go(answer=lambda row: some_failure(row) if row == 5 else some_result(row))
    async with small.kept(Retry(["failed"], None)) as keeping:
        small.read(keeping, end=None)
        await keeping.keep_bill(some_bill(5, attempts=7))
        await until(lambda: keeping.tally.requests == 9 + 7)
    assert (keeping.tally.rows, keeping.tally.failed) == (10, 1)
    assert small.journalled() == ["00001.jsonl"]
    assert await small.go() == [], "without --retry its failure is its last word"
    async with small.kept() as keeping:
        assert (keeping.tally.requests, keeping.tally.failed) == (9 + 7, 1)
        assert keeping.tally.unmetered_attempts == some_bill().unmetered_attempts
    assert small.journalled() == []


async def test_the_bill_of_a_row_behind_a_narrower_scope_is_kept(small: Small) -> None:
    async with small.kept() as keeping:
        small.read(keeping, end=None)
        await keeping.keep_bill(some_bill(3))
    await small.go(end=2)
    async with small.kept() as keeping:
        assert (keeping.tally.rows, keeping.tally.requests) == (2, 4)
        small.read(keeping, end=None)
        assert keeping.before(3) == some_bill(3)
