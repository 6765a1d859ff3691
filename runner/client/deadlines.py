"""Has an attempt had its time? One timer for all that are on their way.

A timer for each costs 6 microseconds of the 58 that a bare request takes, be it aiohttp's or
asyncio's (measured on loopback with uvloop). Nothing here needs to be exact: a timeout of minutes
may be a second late.

A process that was stopped (Ctrl-Z, a debugger, a sleep during which the clock goes on) has listened
to nobody meanwhile: answers may lie in its sockets. That time counts against no attempt.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

# Looks that were missed before it is no busy loop but a process that stood still. With a tick of a
# tenth of the shortest timeout, up to a second: a stop so short can end nearly nobody's time.
_MISSED_TICKS = 10
_GRACE_TICKS = 10  # for each attempt after that, so that answers can be read and the dead are found


class Deadlines:
    """Hands out `Deadline`s and looks after them; late by at most `tick_s`."""

    def __init__(self, *, tick_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._tick_s = tick_s
        self._timer: asyncio.TimerHandle | None = None
        self._looked_s = 0.0
        self._stood_s = 0.0  # in all, while attempts were on their way
        self._open: set[Deadline] = set()

    def within(self, seconds: float) -> Deadline:
        """A block that raises TimeoutError in the task that runs it, once `seconds` have passed."""
        return Deadline(self, self._loop.time() + seconds)

    def _start(self) -> None:
        self._looked_s = self._loop.time()
        self._timer = self._loop.call_later(self._tick_s, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        stood_s = now - self._looked_s
        self._looked_s = now
        if stood_s > _MISSED_TICKS * self._tick_s:
            self._stood_s += stood_s
            for deadline in self._open:
                deadline.due_s = max(deadline.due_s, now + _GRACE_TICKS * self._tick_s)
        for deadline in [late for late in self._open if late.due_s <= now]:
            self._open.discard(deadline)
            deadline.expire()
        self._timer = self._loop.call_later(self._tick_s, self._look) if self._open else None

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Deadline:
    """One block's time. `due_s` is on the event loop's clock."""

    __slots__ = ("_before", "_expired", "_owner", "_stood_s", "_task", "due_s")

    def __init__(self, owner: Deadlines, due_s: float) -> None:
        self.due_s = due_s
        self._owner = owner
        self._stood_s = owner._stood_s  # before it began
        self._expired = False
        self._task: asyncio.Task[Any] | None = None
        self._before = 0  # cancellations that were asked for already, by others

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a deadline needs a task to interrupt")
        self._before = self._task.cancelling()
        self._owner._open.add(self)
        if self._owner._timer is None:
            self._owner._start()
        return self

    def allow(self, seconds: float, *, until_s: float = math.inf) -> bool:
        """Moves the deadline so far from now, but not past `until_s` on the loop's clock.

        `until_s` is later by as long as the process stood still. Whether the deadline is there.
        """
        until_s += self._owner._stood_s - self._stood_s
        self.due_s = min(self._owner._loop.time() + seconds, until_s)
        return self.due_s >= until_s

    def expire(self) -> None:
        """Interrupts the block."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner._open.discard(self)
        if not self._expired or self._task is None:
            return
        # A cancellation from outside, which may have come as well, must pass on as one.
        others = self._task.uncancel() > self._before
        if not others and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from None
