"""As many workers as are wanted, also while the run goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Place:
    """One worker's place. Made by `Crew`, kept up to date by the worker itself."""

    __slots__ = ("busy", "leaving")

    def __init__(self) -> None:
        self.busy = False  # with something that has been paid for; else it waits for its turn
        self.leaving = False  # it ends as soon as it is not busy


class Crew:
    """The workers of one run. `work` ends by itself when there is nothing left to do."""

    def __init__(
        self, tasks: asyncio.TaskGroup, work: Callable[[Place], Coroutine[Any, Any, None]]
    ) -> None:
        self._tasks = tasks
        self._work = work
        self._places: dict[asyncio.Task[None], Place] = {}
        self.size = 0  # as many as are wanted

    def resize(self, size: int) -> None:
        """Let so many work; those who only wait leave first, busy ones after their turn."""
        self.size = size
        places = [(task, place) for task, place in self._places.items() if not task.done()]
        staying = [(task, place) for task, place in places if not place.leaving]
        for task, place in places:
            if place.leaving and place.busy and len(staying) < size:
                place.leaving = False
                staying.append((task, place))
        for _ in range(size - len(staying)):
            place = Place()
            self._places[self._tasks.create_task(self._work(place))] = place
        staying.sort(key=lambda one: one[1].busy)
        for task, place in staying[: max(0, len(staying) - size)]:
            place.leaving = True
            if not place.busy:
                task.cancel()

    @property
    def present(self) -> int:
        """Workers that have not ended, those included that leave after their turn."""
        return sum(not task.done() for task in self._places)

    async def wait(self) -> None:
        """Return when all have ended, those included that come meanwhile."""
        while self._places:
            done, _ = await asyncio.wait(self._places)
            for task in done:
                del self._places[task]

    def cancel(self) -> None:
        """End all at once, whatever they do."""
        for task in self._places:
            task.cancel()
