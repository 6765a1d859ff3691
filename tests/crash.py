"""A process that dies between two of its calls to the disk, without being a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class Killed(BaseException):
    """The process ends here: no handler of ours may get in its way."""


class Crash:
    """Lets so many calls to the disk happen, and not one more.

    Calls: writes, fsyncs, renames and deletions. From the last one on nothing is written, renamed
    or deleted any more, whoever tries.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, after: int) -> None:
        self._left = after
        self.calls: list[str] = []
        for place, name in (
            (os, "write"),
            (os, "fsync"),
            (Path, "replace"),
            (Path, "unlink"),
        ):
            patch.setattr(place, name, self._counted(name, getattr(place, name)))

    @property
    def happened(self) -> bool:
        """Whether the process has died."""
        return self._left < 0

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                self._left = -1
                raise Killed
            self.calls.append(name)
            return real(*args, **kwargs)

        return call
