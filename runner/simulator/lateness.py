"""How late was the server itself? What arrived while it did not run, it counts as one moment."""

from __future__ import annotations

import asyncio
from typing import Final

_BEAT_S: Final = 0.02


class Lateness:
    """The longest that the running loop came late to a timer of its own, from now to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reset()
        self._wait()

    def reset(self) -> None:
        """Forget the longest."""
        self.largest_s = 0.0

    def _wait(self) -> None:
        self._due_s = self._loop.time() + _BEAT_S
        self._timer = self._loop.call_at(self._due_s, self._beat)

    def _beat(self) -> None:
        self.largest_s = max(self.largest_s, self._loop.time() - self._due_s)
        self._wait()

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
