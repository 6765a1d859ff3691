"""Answered, not yet sealed: one append-only file of JSON lines for each open block.

A line holds a result, or the bill so far of a row that has none yet. Where a result in a part is
asked again, the row's first line is what that part has of its bill; `sealed_bills` says what for.

What a crash may cost. `append` hands a line to the kernel before it returns, and a worker takes its
next row only after that: a killed process loses the replies that were on their way and no other. A
power cut may also lose what was not yet forced to disk, at most SYNC_S or SYNC_RESULTS of work;
such results were never counted as done. Attempts that may be billed are noted at once where their
row is asked again; a kill also loses the count of those that were refused and cost nothing.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import orjson

from runner.damage import Damage
from runner.durable import (
    append,
    cut_off,
    faults,
    force,
    fsync_folder,
    machine_fault,
    remove,
)
from runner.errors import MachineFault
from runner.records import Result, Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SYNC_S = 0.1  # a result counts at the latest this long after its answer
SYNC_RESULTS = 256  # enough to make an fsync's cost vanish; small enough to lose without regret
# A run in its course has 8 blocks open; a pilot's rows may lie in a thousand, and a process often
# may hold no more files than that, connections included.
OPEN_FILES = 128

_CRC = b',"crc":"%08x"}\n'
_CRC_BYTES = len(_CRC % 0)
# On Windows a file is text unless told otherwise, and every newline becomes two bytes.
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_FIELDS = frozenset(field.name for field in fields(Result))
_BILL_FIELDS = frozenset(field.name for field in fields(Unfinished))
_UNFINISHED = "unfinished"  # the one key of a line that holds a bill

Entry = Result | Unfinished


def cleaned(result: Result) -> Result:
    """The result with every text in it valid Unicode: half a surrogate pair becomes U+FFFD.

    Neither JSON nor Arrow can hold one, and an answer is not to be lost for a character.
    """
    values: dict[str, Any] = {name: getattr(result, name) for name in _FIELDS}
    for name, value in values.items():
        if isinstance(value, str):
            raw = value.encode("utf-16-le", "surrogatepass")
            values[name] = raw.decode("utf-16-le", "replace")
    return Result(**values)


def encode_line(entry: Entry) -> bytes:
    """One journal line: the result as a JSON object, its CRC-32 in the last key.

    The bill of a row without a result is an object in an object. Raises TypeError for a text that
    is not valid Unicode.
    """
    text = orjson.dumps(entry if isinstance(entry, Result) else {_UNFINISHED: entry})
    return text[:-1] + _CRC % zlib.crc32(text)


def decode_line(line: bytes) -> Entry | None:
    """What a line holds that ends in a newline, or None when the line is damaged."""
    text = line[:-_CRC_BYTES] + b"}"
    if line[-_CRC_BYTES:] != _CRC % zlib.crc32(text):
        return None
    data = orjson.loads(text)
    bill = data.get(_UNFINISHED)
    if bill is not None:
        return Unfinished(**{name: value for name, value in bill.items() if name in _BILL_FIELDS})
    return Result(**{name: value for name, value in data.items() if name in _FIELDS})


class JournalFile:
    """What one block's journal file holds.

    With `mend` a torn last line is cut off the file, which only the run's one writer may do. With
    `block_rows` rows of other blocks are no results: the file has been renamed.
    """

    def __init__(self, path: Path, block_rows: int | None = None, *, mend: bool) -> None:
        self.path = path
        self.block = int(path.stem)
        self.results: dict[int, Result] = {}  # by row; of several lines for a row the last holds
        self.bills: dict[
            int, Unfinished
        ] = {}  # by row; of what came after its result, if it has one
        self.sealed_bills: dict[int, Unfinished] = {}  # by row; what a part has of its bill
        self.damaged_lines: list[int] = []  # numbered from 1; their rows are asked again
        self.strange_rows: list[int] = []  # of other blocks
        self._block_rows = block_rows
        self._read(mend=mend)

    def _read(self, *, mend: bool) -> None:
        with faults("read", self.path), self.path.open("rb") as file:
            whole_bytes = 0
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # torn by a crash while it was written
                whole_bytes += len(line)
                entry = decode_line(line)
                if entry is None:
                    self.damaged_lines.append(number)
                elif self._block_rows and entry.row // self._block_rows != self.block:
                    self.strange_rows.append(entry.row)
                elif isinstance(entry, Result):
                    self.results[entry.row] = entry
                    self.bills.pop(entry.row, None)
                elif entry.part_sha256 is not None:
                    self.sealed_bills[entry.row] = entry
                else:
                    self.bills[entry.row] = entry
        if mend and whole_bytes < self.path.stat().st_size:
            # Appending behind half a line would damage the next one too.
            with faults("cut the torn last line off", self.path):
                cut_off(self.path, whole_bytes)

    def flaws(self) -> list[str]:
        """What is damaged in it, and what that means."""
        return [
            f"{self.path}, line {line}, is damaged; its row is asked again"
            for line in self.damaged_lines
        ]

    def astray(self) -> Damage | None:
        """What is wrong where it holds results of other blocks: it has been renamed."""
        if not self.strange_rows or not self._block_rows:
            return None
        first = self.strange_rows[0]
        its_name = self.path.with_name(f"{first // self._block_rows:05d}.jsonl")
        return Damage(
            self.block,
            self.path,
            f"holds results of other blocks, from row {first:,} on, and seems to be "
            f"{its_name.name} under another name",
            count=len(set(self.strange_rows)),
            remedy=f"give it back its name ({its_name})",
        )


def read_journals(folder: Path, block_rows: int, *, mend: bool) -> Iterator[JournalFile]:
    """Every block's journal file below `folder`, in order of block."""
    for path in sorted(folder.glob("[0-9]*.jsonl")):
        try:
            file = JournalFile(path, block_rows, mend=mend)
        except MachineFault as fault:
            if mend or not isinstance(fault.__cause__, FileNotFoundError):
                raise
            continue  # a run that goes on has just sealed it
        yield file


def look_into(folder: Path, block: int, block_rows: int) -> dict[int, Result]:
    """The results that a reader finds in a block's journal file, by row; {} without a file."""
    return entries_of(folder, block, block_rows)[0]


def entries_of(
    folder: Path, block: int, block_rows: int
) -> tuple[dict[int, Result], dict[int, Unfinished]]:
    """What a reader finds in a block's journal file: results and bills by row; none without a file.

    The run that goes on may delete the file at any moment, and has then sealed the block.
    """
    try:
        file = JournalFile(folder / f"{block:05d}.jsonl", block_rows, mend=False)
    except MachineFault as fault:
        if isinstance(fault.__cause__, FileNotFoundError):
            return {}, {}
        raise
    return file.results, file.bills


def brought_up_to_date(
    results: dict[int, Result], bills: dict[int, Unfinished]
) -> dict[int, Result]:
    """Results, those with the later bill that were asked again and have no newer result."""
    if not bills:
        return results
    later = {row: bills[row].on(results[row]) for row in bills if row in results}
    return {**results, **later}


class Journal:
    """Appends results, forces them to disk in groups, and tells when they count.

    `on_durable` receives each group of results and bills, in the event loop, once it is on disk.
    """

    def __init__(
        self,
        folder: Path,
        block_of: Callable[[int], int],
        on_durable: Callable[[list[Entry]], None],
        *,
        open_files: int = OPEN_FILES,
    ) -> None:
        self._folder = folder
        self._block_of = block_of
        self._on_durable = on_durable
        self._open_files = open_files
        self._handles: dict[int, int] = {}  # block -> file descriptor; the longest unused first
        self._paths: dict[int, Path] = {}  # likewise, since a path takes longer to make than a line
        self._unsynced: list[Entry] = []
        self._dirty: set[int] = set()
        self._syncing: set[int] = set()  # whose handles the thread is using
        self._first = asyncio.Event()  # something waits for an fsync
        self._full = asyncio.Event()  # enough waits to do it at once
        self._closing = False
        self._fault: MachineFault | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-journal")

    def path(self, block: int) -> Path:
        """Where a block's lines lie."""
        return self._folder / f"{block:05d}.jsonl"

    def append(self, entry: Entry) -> None:
        """Hand a line to the kernel. Raises MachineFault; what it holds counts later."""
        if self._fault is not None:
            # Behind a line that was cut short another one would be damaged too.
            raise self._fault
        block = self._block_of(entry.row)
        try:
            line = encode_line(entry)
        except TypeError:
            assert isinstance(entry, Result)  # noqa: S101 - a bill holds no text of a model's
            entry = cleaned(entry)
            line = encode_line(entry)
        try:
            handle = self._handles.get(block)
            if handle is None:
                handle = self._open(block)
            path = self._paths[block]
            try:  # not `faults`, whose context is made whether it is needed or not
                append(path, handle, line)
            except OSError as error:
                raise machine_fault("write", path, error) from error
        except MachineFault as fault:
            self._fault = fault
            raise
        self._dirty.add(block)
        self._unsynced.append(entry)
        if len(self._unsynced) >= SYNC_RESULTS:
            self._full.set()
        if len(self._unsynced) == 1:
            self._first.set()

    def _open(self, block: int) -> int:
        if len(self._handles) >= self._open_files:
            self._close_longest_unused()
        known = block in self._paths
        path = self._paths[block] = self.path(block)
        with faults("open", path):
            handle = self._handles[block] = os.open(path, _OPEN_FLAGS, 0o644)
            if not known:
                fsync_folder(self._folder)
        return handle

    def _close_longest_unused(self) -> None:
        block = next((one for one in self._handles if one not in self._syncing), None)
        if block is None:
            return  # the thread has them all; it will be one more until the next one is opened
        if block in self._dirty:
            # A handle that was open since before the write is sure to hear of its failure.
            with faults("force to disk", self._paths[block]):
                force(self._paths[block], self._handles[block])
            self._dirty.discard(block)
        os.close(self._handles.pop(block))

    async def keep(self) -> None:
        """Force appended lines to disk, group by group, until `close`. Raises MachineFault."""
        loop = asyncio.get_running_loop()
        while True:
            await self._first.wait()
            if not self._closing:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), SYNC_S)
            self._first.clear()
            self._full.clear()
            entries, self._unsynced = self._unsynced, []
            self._syncing, self._dirty = self._dirty, set()
            if entries:
                # A failed fsync is final: the kernel may have dropped the pages, so a second
                # call that succeeds would prove nothing.
                try:
                    await loop.run_in_executor(self._thread, self._sync, self._syncing)
                except MachineFault as fault:
                    self._fault = fault
                    raise
                for block in self._syncing & self._handles.keys():
                    self._handles[block] = self._handles.pop(block)  # the last used ones last
                self._syncing = set()
                self._on_durable(entries)
            if self._closing and not self._unsynced:
                return

    def _sync(self, blocks: set[int]) -> None:
        for block in blocks:
            with faults("force to disk", self.path(block)):
                force(self.path(block), self._handles[block])

    def close(self) -> None:
        """Let `keep` write what is left and return."""
        self._closing = True
        self._full.set()
        self._first.set()

    def remove(self, block: int) -> None:
        """Delete a block's file: its results now live in a sealed part."""
        self._paths.pop(block, None)
        handle = self._handles.pop(block, None)
        if handle is not None:
            os.close(handle)
        with faults("delete", self.path(block)):
            remove(self.path(block))

    def release(self) -> None:
        """Give the files back, whatever happened before."""
        self._thread.shutdown()
        for handle in self._handles.values():
            with suppress(OSError):
                os.close(handle)
        self._handles.clear()
