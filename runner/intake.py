"""Whose turn is it? Rows not yet asked, and parked rows whose time has come again."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.bill import Bill
    from runner.records import Request, Row

_History = TypeVar("_History")

# The reader is asked for more rows when fewer than this many are left, so that a batch is ready
# before the last row is taken: as many as there are workers, and no fewer than these.
LOW_WATER_ROWS = 512


@dataclass(slots=True, eq=False)
class Turn(Generic[_History]):
    """A row's turn at being asked, from its first attempt to its result. Owned by one worker."""

    row: Row
    history: _History  # what the retry policy knows of its attempts
    bill: Bill  # what it has cost so far
    request: Request | None = None  # filled in at the first attempt


class Intake(Generic[_History]):
    """Hands out turns: parked ones that are due before new ones.

    A parked turn holds no worker. While more than `most_parked` are parked no new row is begun, so
    that trouble at the provider does not pull the whole dataset into memory. Neither is one while
    enough stand in line already: a retry that comes due would have to stand behind them.
    """

    def __init__(self, *, most_parked: int, low_water: int = LOW_WATER_ROWS) -> None:
        self._loop = asyncio.get_running_loop()
        self.most_parked = most_parked
        self.low_water = low_water
        self._new: deque[Turn[_History]] = deque()
        self._due: deque[Turn[_History]] = deque()
        self._parked = 0
        self._unfinished = 0  # turns handed over by the reader and without a result yet
        self._ended = False  # the reader has handed over its last row
        self._closed = False
        self.held = False  # workers are idle because new rows have to wait for a shorter line
        self._idle: deque[asyncio.Future[None]] = deque()
        self._hungry = asyncio.Event()
        self._hungry.set()

    @property
    def parked(self) -> int:
        """Turns that wait for their next attempt."""
        return self._parked

    @property
    def idle(self) -> int:
        """Workers that wait for a turn."""
        return sum(not waiter.done() for waiter in self._idle)

    @property
    def last_turns(self) -> int | None:
        """Turns without a result, once no more rows will come; None before."""
        return self._unfinished if self._ended else None

    async def wait_hungry(self) -> None:
        """Return when more rows are wanted."""
        await self._hungry.wait()

    def add(self, turns: list[Turn[_History]]) -> None:
        """Take over turns that were never asked."""
        self._new.extend(turns)
        self._unfinished += len(turns)
        if len(self._new) >= self.low_water:
            self._hungry.clear()
        self._wake(len(turns))

    def end(self) -> None:
        """No more rows will come."""
        self._ended = True
        if self._unfinished == 0:
            self._wake_all()

    def close(self) -> None:
        """Hand out nothing more; what is parked stays without a result."""
        self._closed = True
        self._hungry.set()
        self._wake_all()

    def _next(self, may_begin: Callable[[], bool]) -> Turn[_History] | None:
        if self._due:
            return self._due.popleft()
        if self._new and self._parked < self.most_parked:
            if not may_begin():
                self.held = True
                return None
            turn = self._new.popleft()
            if len(self._new) < self.low_water:
                self._hungry.set()
            return turn
        self.held = False
        return None

    async def take(self, may_begin: Callable[[], bool] = lambda: True) -> Turn[_History] | None:
        """The next turn; None when there will be none any more.

        `may_begin`: whether it may be a row that was never asked. Whoever makes that possible
        again, once rows were `held`, calls `look_again`.
        """
        while not self._closed:
            turn = self._next(may_begin)
            if turn is not None:
                return turn
            if self._ended and self._unfinished == 0:
                return None
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    self._wake(1)  # it was woken for a turn that somebody else must take now
                raise
        return None

    def park(self, turn: Turn[_History], wait_s: float) -> None:
        """Give a turn back for its next attempt, not before `wait_s` seconds from now."""
        self._parked += 1
        self._loop.call_later(wait_s, self._unpark, turn)

    def _unpark(self, turn: Turn[_History]) -> None:
        self._parked -= 1
        self._due.append(turn)
        self._wake(2)  # one for this turn, one for the new row that its place allows

    def done(self) -> None:
        """One turn has its result."""
        self._unfinished -= 1
        if self._unfinished == 0 and self._ended:
            self._wake_all()

    def look_again(self) -> None:
        """A place in line has become free: let one idle worker look whether a row may begin."""
        self._wake(1)
        self.held = bool(self._idle)

    def _wake(self, turns: int) -> None:
        while turns > 0 and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                turns -= 1

    def _wake_all(self) -> None:
        self._wake(len(self._idle))
