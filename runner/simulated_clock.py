"""An event loop whose time jumps to the next timer: hours of waiting take the time of their work.

Nothing real is waited for. What a loop would give to a thread is done at once, and takes no time
on this clock; sockets may be opened but never become ready.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_T = TypeVar("_T")

# Each round of the loop takes this long, so that code which waits for a moment that rounding puts
# just ahead of now arrives there. A million rounds make a millisecond.
_TICK_S: Final = 1e-9
_START_S: Final = 1000.0  # not 0, which would hide code that takes 0 for "never"


class NothingLeft(RuntimeError):  # noqa: N818 - what the clock has run into
    """Everybody waits, and no timer is set: on this clock nobody will ever go on."""


class SimulatedClock(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, from 1,000 s on."""

    def __init__(self) -> None:
        self._now_s = _START_S
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds on the simulated clock."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Let time pass while nothing runs."""
        self._now_s += max(seconds, _TICK_S)

    def run_in_executor(  # type: ignore[override]  # a future of this loop is all that is needed
        self, executor: Any, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Do it here and now: a thread would take time that this clock cannot see."""
        del executor
        done: asyncio.Future[_T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            done.set_exception(error)
        return done


class _Jumping(selectors.BaseSelector):
    """Instead of waiting for the next timer, goes to its moment."""

    def __init__(self, loop: SimulatedClock) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()  # the loop registers its own wake-up socket

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeft("everybody waits, and no timer is set")
        self._loop.jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run_simulated(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """The coroutine function's value, on a simulated clock; tasks left over are cancelled."""
    with asyncio.Runner(loop_factory=SimulatedClock) as runner:
        return runner.run(work())
