"""Keeps a run at its part of the limits that it shares with others, from its first request on."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

from runner.errors import MachineFault
from runner.share import Share, share_folders

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Part

BEAT_S = 0.5  # how often a run looks who is there: the share of one that died is used that soon
_LOOK_S = 0.1  # while the others make room, which they do at their beat


class Sharable(Protocol):
    """What is shared: `lanes.Lanes`, or the limits of one model."""

    def take(self, part: Part) -> None:
        """From now on only this part of every limit."""
        ...


class Sharing:
    """A run among those of its --share NAME, counted while the context lasts.

    Without a name it has everything to itself and nothing happens. Raises JobError on entering when
    runs cannot find each other.
    """

    def __init__(self, name: str | None, *, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._share = None if name is None else Share(name, share_folders(os.environ))
        self._part: Part | None = None
        self._blind = False
        self._held = ExitStack()

    def __enter__(self) -> Self:
        if self._share is not None:
            self._held.enter_context(self._share)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._held.close()

    async def begin(self, limits: Sharable, *, stopping: Callable[[], bool]) -> None:
        """Wait until there is room for this run beside the others, and take its part.

        Raises MachineFault when the folder in which they meet cannot be read.
        """
        if self._share is None:
            return
        try:
            while not stopping():
                if await self._take(self._share, limits):
                    return
                await asyncio.sleep(_LOOK_S)
        except OSError as error:
            raise MachineFault(
                f"--share {self._name}: cannot see the other runs: {error}; mend that, or go on "
                f"by yourself with --share ''"
            ) from error

    async def renew(self, limits: Sharable) -> None:
        """Take what is this run's part by now; call it once a beat."""
        if self._share is None or self._part is None:
            return
        try:
            await self._take(self._share, limits)
            self._blind = False
        except OSError as error:
            # What it takes is still right for the others that were there.
            if not self._blind:
                self._say(
                    f"share {self._name}: cannot see the other runs ({error}); this one goes on "
                    f"with 1/{self._part.of} of the limits and keeps looking"
                )
            self._blind = True

    async def keep(self, limits: Sharable) -> None:
        """Renew at each beat, for ever."""
        while True:
            await asyncio.sleep(BEAT_S)
            await self.renew(limits)

    async def _take(self, share: Share, limits: Sharable) -> bool:
        # In a thread: home folders may lie on a network.
        part = await asyncio.to_thread(share.look)
        if part is None:
            return False
        limits.take(part)
        await asyncio.to_thread(share.took, part)
        before, self._part = self._part, part
        if before is None or before.of != part.of:
            self._say(self._words(part))
        return True

    def _words(self, part: Part) -> str:
        if part.of == 1:
            return f"share {self._name}: no other run now; this one takes the whole of its limits"
        return f"share {self._name}: {part.of} runs now; this one takes 1/{part.of} of its limits"
