"""Answered, not yet sealed: one append-only file of JSON lines for each open block.

What a crash may cost. `append` hands a line to the kernel before it returns, and a worker takes its
next row only after that: a killed process loses the replies that were on their way and no other. A
power cut may also lose what was not yet forced to disk, at most SYNC_S or SYNC_RESULTS of work;
such results were never counted as done. Attempts that may be billed are noted at once where their
row is asked again; a kill also loses the count of those that were refused and cost nothing.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from runner.durable import append, faults, force, fsync_folder, machine_fault, remove
from runner.errors import MachineFault
from runner.journal.journal_file import path_of
from runner.journal.lines import cleaned, encode_line
from runner.records import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.journal.lines import Entry

SYNC_S = 0.1  # a result counts at the latest this long after its answer
SYNC_RESULTS = 256  # enough to make an fsync's cost vanish; small enough to lose without regret
# A run in its course has 8 blocks open; a pilot's rows may lie in a thousand, and a process often
# may hold no more files than that, connections included.
OPEN_FILES = 128

# On Windows a file is text unless told otherwise, and every newline becomes two bytes.
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


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
        self._group: list[Entry] = []  # that it forces to disk
        self._first = asyncio.Event()  # something waits for an fsync
        self._full = asyncio.Event()  # enough waits to do it at once
        self._closing = False
        self._fault: MachineFault | None = None
        self._unsure = False  # an fsync has failed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-journal")

    def path(self, block: int) -> Path:
        """Where a block's lines lie."""
        return path_of(self._folder, block)

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
            self._force(block)
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
            self._group, self._unsynced = self._unsynced, []
            self._syncing, self._dirty = self._dirty, set()
            if self._group:
                await loop.run_in_executor(self._thread, self._sync, self._syncing)
                for block in self._syncing & self._handles.keys():
                    self._handles[block] = self._handles.pop(block)  # the last used ones last
                self._syncing = set()
                entries, self._group = self._group, []
                self._on_durable(entries)
            if self._closing and not self._unsynced:
                return

    def _sync(self, blocks: set[int]) -> None:
        for block in blocks:
            self._force(block)

    def _force(self, block: int) -> None:
        try:
            with faults("force to disk", self.path(block)):
                force(self.path(block), self._handles[block])
        except MachineFault as fault:
            # It is final: the kernel may have dropped the pages, so a second call that succeeds
            # would prove nothing.
            self._fault, self._unsure = fault, True
            raise

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

    @property
    def uncounted(self) -> int:
        """Entries that were appended and do not count; of a failed fsync's nobody knows."""
        return len(self._group) + len(self._unsynced)

    def _count_last(self) -> None:
        """What was appended before the fault that ended `keep` counts too, once it is on disk."""
        if self._unsure or not self.uncounted:
            return
        for block in (self._syncing | self._dirty) & self._handles.keys():
            self._force(block)
        entries, self._group, self._unsynced = self._group + self._unsynced, [], []
        self._on_durable(entries)

    def release(self) -> None:
        """Count what is on disk, and give the files back, whatever happened before."""
        self._thread.shutdown()
        with suppress(MachineFault):  # nothing new: what ended `keep` has been told
            self._count_last()
        for handle in self._handles.values():
            with suppress(OSError):
                os.close(handle)
        self._handles.clear()
