"""When a result counts, how many files are open, and what becomes of a failed write."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from slow_disk import SlowDisk
from some_results import some_bill, some_result

from runner.errors import MachineFault
from runner.journal import OPEN_FILES, SYNC_RESULTS, Journal, read_journals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runner.journal import Entry
    from runner.records import Result

ROWS_A_BLOCK = 100


@asynccontextmanager
async def journal_in(
    folder: Path, groups: list[list[Entry]], *, open_files: int = OPEN_FILES
) -> AsyncIterator[Journal]:
    """A journal that is kept while the context lasts, and closed at its end."""
    journal = Journal(folder, lambda row: row // ROWS_A_BLOCK, groups.append, open_files=open_files)
    keeping = asyncio.create_task(journal.keep())
    try:
        yield journal
        journal.close()
        await keeping
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        journal.release()


async def write(folder: Path, *results: Entry) -> list[Entry]:
    """Append results; those that counted, in order."""
    groups: list[list[Entry]] = []
    async with journal_in(folder, groups) as journal:
        for result in results:
            journal.append(result)
    return [result for group in groups for result in group]


def found_in(folder: Path, *, mend: bool = True) -> dict[int, Result]:
    return {
        row: one
        for file in read_journals(folder, ROWS_A_BLOCK, mend=mend)
        for row, one in file.results.items()
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\ud83d", "\ufffd"),
        ("a\udc80b", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
async def test_half_a_surrogate_pair_does_not_lose_the_answer(
    tmp_path: Path, text: str, kept: str
) -> None:
    counted = await write(tmp_path, some_result(completion=text), some_result(1))
    assert counted == [some_result(completion=kept), some_result(1)]
    assert list(found_in(tmp_path).values()) == counted


async def test_results_lie_in_the_file_of_their_block(tmp_path: Path) -> None:
    await write(tmp_path, *map(some_result, (250, 3, 99, 100)))
    files = {
        file.block: sorted(file.results)
        for file in read_journals(tmp_path, ROWS_A_BLOCK, mend=False)
    }
    assert files == {0: [3, 99], 1: [100], 2: [250]}


async def test_bills_count_as_results_do(tmp_path: Path) -> None:
    bills = [some_bill(1), some_bill(1, attempts=3), some_bill(2)]
    assert await write(tmp_path, *bills) == bills


def spy_on_fsync(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        events.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


async def test_a_result_counts_after_its_line_was_forced_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    spy_on_fsync(monkeypatch, events)

    class Groups(list[list["Entry"]]):
        def append(self, group: list[Entry]) -> None:
            events.append("counted")
            super().append(group)

    groups = Groups()
    async with journal_in(tmp_path, groups) as journal:
        journal.append(some_result(1))
        journal.append(some_result(101))
        assert events == [tmp_path.name] * 2, "the folder of a new file, nothing else yet"
    assert events[2:] in (
        ["00000.jsonl", "00001.jsonl", "counted"],
        ["00001.jsonl", "00000.jsonl", "counted"],
    )


async def test_results_are_forced_to_disk_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    spy_on_fsync(monkeypatch, events)
    groups: list[list[Entry]] = []
    async with journal_in(tmp_path, groups) as journal:
        for row in range(SYNC_RESULTS):
            journal.append(some_result(row % ROWS_A_BLOCK))
    assert events.count("00000.jsonl") == 1
    assert [len(group) for group in groups] == [SYNC_RESULTS]


async def test_close_lets_everything_count_at_once(tmp_path: Path) -> None:
    counted = await write(tmp_path, *map(some_result, range(1000)))
    assert [one.row for one in counted] == list(range(1000))


class OpenFiles:
    """Which journal files are open, and which of them hold a line that was not forced to disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        self.opened = 0
        self.closed_too_early: list[int] = []
        self._unforced: dict[int, bool] = {}  # by handle
        for name in ("open", "write", "fsync", "close"):
            monkeypatch.setattr(os, name, partial(getattr(self, f"_{name}"), getattr(os, name)))

    def _open(self, really: Callable[..., int], path: Any, *how: Any) -> int:
        handle = really(path, *how)
        if str(path).endswith(".jsonl"):
            self._unforced[handle] = False
            self.opened += 1
            self.most = max(self.most, len(self._unforced))
        return handle

    def _write(self, really: Callable[..., int], handle: int, data: Any) -> int:
        if handle in self._unforced:
            self._unforced[handle] = True
        return really(handle, data)

    def _fsync(self, really: Callable[..., None], handle: int) -> None:
        really(handle)
        if handle in self._unforced:
            self._unforced[handle] = False

    def _close(self, really: Callable[..., None], handle: int) -> None:
        if self._unforced.pop(handle, False):
            self.closed_too_early.append(handle)
        really(handle)


async def test_rows_of_very_many_blocks_keep_few_files_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = OpenFiles(monkeypatch)
    groups: list[list[Entry]] = []
    rows = [block * ROWS_A_BLOCK + at for at in range(3) for block in range(30)]
    async with journal_in(tmp_path, groups, open_files=4) as journal:
        for row in rows:
            journal.append(some_result(row))
    assert files.most == 4
    assert files.closed_too_early == []
    assert [one.row for group in groups for one in group] == rows
    assert sorted(found_in(tmp_path)) == sorted(rows)


async def test_a_file_that_is_used_all_the_time_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = OpenFiles(monkeypatch)
    counted = asyncio.Event()
    journal = Journal(
        tmp_path, lambda row: row // ROWS_A_BLOCK, lambda _: counted.set(), open_files=3
    )
    keeping = asyncio.create_task(journal.keep())
    for block in range(1, 9):
        journal.append(some_result(block))  # block 0
        journal.append(some_result(block * ROWS_A_BLOCK))
        await counted.wait()
        counted.clear()
    journal.close()
    await keeping
    journal.release()
    assert (files.opened, files.most) == (9, 3)
    assert files.closed_too_early == []


async def test_a_file_that_cannot_be_forced_before_it_is_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(
        tmp_path, lambda row: row // ROWS_A_BLOCK, lambda _: pytest.fail("counted"), open_files=1
    )
    journal.append(some_result(0))

    def fail(path: Path, handle: int) -> None:
        del path, handle
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("runner.journal.journal.force", fail)
    for row in (ROWS_A_BLOCK, 1):
        with pytest.raises(MachineFault, match=r"00000\.jsonl: the disk reported an error"):
            journal.append(some_result(row))
    journal.release()


async def test_a_failed_fsync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[list[Entry]] = []
    failures = 0

    def fail(handle: int) -> None:
        nonlocal failures
        del handle
        failures += 1
        raise OSError(5, "Input/output error")

    journal = Journal(tmp_path, lambda row: row // ROWS_A_BLOCK, groups.append)
    journal.append(some_result(0))
    monkeypatch.setattr(os, "fsync", fail)
    journal.close()
    with pytest.raises(MachineFault, match=r"00000\.jsonl: the disk reported an error"):
        await journal.keep()
    assert (groups, failures) == ([], 1)
    monkeypatch.undo()
    with pytest.raises(MachineFault, match="the disk reported an error"):
        journal.append(some_result(1))
    journal.release()
    assert (groups, journal.uncounted) == ([], 1)


@pytest.mark.parametrize("under_way", [False, True])
async def test_what_was_appended_before_another_fault_counts_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, under_way: bool
) -> None:
    disk = SlowDisk()
    groups: list[list[Entry]] = []
    journal = Journal(tmp_path, lambda row: row // ROWS_A_BLOCK, groups.append)
    keeping = asyncio.create_task(journal.keep())
    journal.append(some_result(0))
    if under_way:
        monkeypatch.setattr(os, "fsync", disk)
        await asyncio.to_thread(disk.begun.wait)
    journal.append(some_result(1))
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert (groups, journal.uncounted) == ([], 2)
    disk.may_end.set()
    journal.release()
    assert [one.row for group in groups for one in group] == [0, 1]
    assert journal.uncounted == 0


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from some_results import some_result
from runner.errors import MachineFault
from runner.journal import Journal

resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
async def main():
    journal = Journal(Path(sys.argv[1]), lambda row: row // 1000, lambda group: None)
    for row in range(1000):
        try:
            journal.append(some_result(row))
        except MachineFault as fault:
            print(row, fault)
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        journal.append(some_result(999))
    except MachineFault as fault:
        print("still", fault)
    journal.release()
asyncio.run(main())
"""


async def test_a_line_that_found_no_room_is_told_and_nothing_comes_behind_it(
    tmp_path: Path,
) -> None:
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    refused, still = done.stdout.splitlines()
    row = int(refused.split()[0])
    assert row > 1
    assert "00000.jsonl: a file-size limit (ulimit -f) was reached; raise it" in refused
    assert still.startswith("still cannot write")
    assert (tmp_path / "00000.jsonl").stat().st_size == 4000, "the last line is torn"
    assert sorted(found_in(tmp_path)) == list(range(row))
    await write(tmp_path, some_result(row))
    assert sorted(found_in(tmp_path)) == list(range(row + 1))


async def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(MachineFault, match=r"cannot open .*00000\.jsonl"):
        await write(tmp_path / "journal", some_result(0))


async def test_a_removed_block_is_gone_and_may_come_back(tmp_path: Path) -> None:
    await write(tmp_path, some_result(0), some_result(100))
    groups: list[Any] = []
    async with journal_in(tmp_path, groups) as journal:
        journal.remove(0)
        journal.remove(5)
        assert found_in(tmp_path, mend=False).keys() == {100}
        journal.append(some_result(1))
    assert found_in(tmp_path).keys() == {1, 100}
