"""A coroutine run to its end from plain code, on the fastest event loop there is."""

from __future__ import annotations

import asyncio
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
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        return runner.run(work)
