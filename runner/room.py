"""May another batch be read? What open blocks hold in memory decides, and what workers need.

Two things fill memory. Rows that are being asked: as many as keep the workers busy, up to a bound
that is told where it binds. And answered rows that cannot be sealed yet, behind a straggler or a
slow disk: those hold nobody back until they are many.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from runner.counted import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from runner.blocks import Block

# Behind a straggler reading waits once this many blocks are open and answered rows in them hold
# this much: both, since small blocks are no burden and a retry that waits for seconds should hold
# nobody back. Larger ones, however few, wait at the second bound.
MOST_OPEN_BLOCKS = 8
MOST_ANSWERED_BYTES = 32 << 20
MOST_ANSWERED_BYTES_OF_FEW = 48 << 20
# Complete blocks wait for the thread that seals them: reading on only lengthens its queue.
MOST_COMPLETE_BYTES = 24 << 20
# Rows being asked may hold so much in any case, more where workers need it, and never more than the
# third of what is allowed to 1,000 workers with rows of 100 kB: text and request come on top.
ASKED_BYTES = 16 << 20
MOST_ASKED_BYTES = 128 << 20
# A result counts up to 0.1 s after its worker has gone on, so twice as many keep all of them busy.
_ROWS_PER_WORKER = 2
# Where a row fills a block, as many are still wanted as it takes to tell bad rows from a
# configuration that is refused: with fewer, each would wait for the other.
LEAST_OPEN_ROWS = 24


class Wait(Enum):
    """Why reading waits."""

    NO = "there is room"
    AHEAD = "the workers have enough to do"
    MEMORY = "rows being asked take too much memory, though workers are idle"
    BEHIND = "answered rows wait for others of their blocks"
    SEALING = "complete blocks wait to be sealed"


@dataclass(frozen=True, slots=True)
class Held:
    """What the open blocks hold. Made by `held_by`, judged by `wait_for`."""

    blocks: int
    asked_rows: int  # read, without a result
    asked_bytes: int  # of their inputs, and of answers to come
    answered_rows: int
    answered_bytes: int
    complete_bytes: int  # of blocks with all their answers


def held_by(blocks: Collection[Block]) -> Held:
    """What these blocks hold; in each, rows count as equally large."""
    asked_rows = asked_bytes = rows = size = complete = 0
    for block in blocks:
        rows += block.rows_read
        size += block.open_bytes
        if block.rows_read:
            asked_rows += block.unanswered
            asked_bytes += block.open_bytes * block.unanswered // block.rows_read
        if block.is_complete:
            complete += block.open_bytes
    answered_rows, answered_bytes = rows - asked_rows, size - asked_bytes
    return Held(len(blocks), asked_rows, asked_bytes, answered_rows, answered_bytes, complete)


def wait_for(held: Held, workers: int) -> Wait:
    """Whether reading has to wait, where so many workers want rows."""
    if held.blocks <= 1:  # one alone may have to be read on to be complete
        return Wait.NO
    if held.complete_bytes > MOST_COMPLETE_BYTES:
        return Wait.SEALING
    if held.asked_rows + held.answered_rows <= LEAST_OPEN_ROWS:
        return Wait.NO
    few = held.blocks <= MOST_OPEN_BLOCKS
    if held.answered_bytes > (MOST_ANSWERED_BYTES_OF_FEW if few else MOST_ANSWERED_BYTES):
        return Wait.BEHIND
    if held.asked_bytes > ASKED_BYTES and held.asked_rows >= _ROWS_PER_WORKER * workers:
        return Wait.AHEAD
    if held.asked_bytes > MOST_ASKED_BYTES:
        return Wait.MEMORY if held.asked_rows < workers else Wait.AHEAD
    return Wait.NO


class Room:
    """Lets reading go on while there is room, and says once why it does not."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._event = asyncio.Event()
        self._event.set()
        self._wait = Wait.NO
        self._workers = 0
        self._told: set[Wait] = set()

    @property
    def is_full(self) -> bool:
        """Whether reading waits."""
        return not self._event.is_set()

    def look(self, blocks: Collection[Block]) -> None:
        """Decide anew: blocks have been read, answered or sealed."""
        self._wait = wait_for(held_by(blocks), self._workers)
        if self._wait is Wait.NO:
            self._event.set()
        else:
            self._event.clear()

    async def wait(self, blocks: Collection[Block], workers: int) -> None:
        """Return when there is room for another batch."""
        self._workers = workers
        self.look(blocks)
        if self._wait not in self._told and (reason := self._reason(blocks)) is not None:
            self._told.add(self._wait)
            self._say(f"Reading waits: {reason}.")
        await self._event.wait()

    def _reason(self, blocks: Collection[Block]) -> str | None:
        held = held_by(blocks)
        if self._wait is Wait.MEMORY:
            rows = counted(held.asked_rows, "row is", "rows are")
            return (
                f"{rows} being asked ({held.asked_bytes / 1e6:,.0f} MB), and no more at once fit "
                f"into memory, so some of {self._workers:,} workers idle"
            )
        if self._wait is Wait.SEALING:
            return (
                f"finished blocks of {held.complete_bytes / 1e6:,.0f} MB have to be written first; "
                f"answers come faster than this disk and processor take them"
            )
        if self._wait is not Wait.BEHIND:
            return None
        waiting = (block for block in blocks if not block.is_complete)
        oldest = min(waiting, key=lambda block: block.start)
        row = next(
            (row for row in range(oldest.start, oldest.stop) if row not in oldest.results),
            oldest.start,
        )
        return (
            f"{held.blocks} blocks are open behind rows that are still being tried, the first of "
            f"them row {row}"
        )
