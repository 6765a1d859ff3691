"""A clock for tests: an event loop whose time jumps to the next timer when nothing is left to do.

Sixty seconds of pacing take milliseconds, and take them the same way each time. Nothing real is
waited for: a test that can never go on fails at once with `Stuck` instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_T = TypeVar("_T")

# Each round of the loop takes this long, so that code which waits for a moment that rounding puts
# just ahead of now arrives there. A million rounds make a millisecond.
TICK_S = 1e-9


class Stuck(AssertionError):  # noqa: N818 - what the test is
    """Everybody waits, and nobody is left to wake them."""


class FakeClock(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, from 1,000 s on. No threads, no sockets."""

    def __init__(self) -> None:
        self._now_s = 1000.0  # not 0, which would hide code that takes 0 for "never"
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds on the fake clock."""
        return self._now_s

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs, as in a process that was not scheduled."""
        self._now_s += seconds


class _Jumping(selectors.BaseSelector):
    """Instead of waiting for the next timer, goes to its moment."""

    def __init__(self, loop: FakeClock) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()  # the loop registers its own wake-up socket

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("everybody waits, and no timer is set")
        self._loop.stall(max(timeout, TICK_S))
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def on_fake_clock(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """The coroutine function's value, run on a fake clock; tasks left over are cancelled."""
    with asyncio.Runner(loop_factory=FakeClock) as runner:
        return runner.run(work())


def stall(seconds: float) -> None:
    """Let fake time pass in one leap, with nothing happening in it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClock)
    loop.stall(seconds)
