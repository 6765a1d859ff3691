"""A coroutine run to its end from plain code, and plain code run beside an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_T = TypeVar("_T")

_loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
try:
    import uvloop
except ImportError:  # there is none for Windows; the standard loop does too
    pass
else:
    _loop_factory = uvloop.new_event_loop


def run_to_end(work: Coroutine[Any, Any, _T]) -> _T:
    """The coroutine's value. Raises RuntimeError inside a running event loop: await it there."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        work.close()
        raise RuntimeError("an event loop is running here (as in a notebook): await it instead")
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        return runner.run(work)


async def in_background(work: Callable[[], _T]) -> _T:
    """What `work` returns or raises, from a thread that the process does not wait for at its end.

    For work that may take long and that nothing depends on: `asyncio.to_thread` would hold up the
    exit until it is done, cancelled or not.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def tell(value: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)  # type: ignore[arg-type]  # it is a _T where there is no error

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except BaseException as caught:  # noqa: BLE001 - raised again where it is awaited
            error = caught
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(tell, value, error)

    Thread(target=run, name="penstock-background", daemon=True).start()
    return await done
