"""What ends a run before its end? A person, a limit of the user's, or a fault on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from runner.counted import counted
from runner.errors import MachineFault, StopsRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from runner.run import Course


class Stopping:
    """The stops of one process. Made by `running`, which tells it of the course when there is one.

    A stop before that is remembered until then.
    """

    def __init__(self, say: Callable[[str], None], *, rehearsal: bool) -> None:
        self._say = say
        self._rehearsal = rehearsal  # nobody bills anything
        self._course: Course | None = None
        self._fault: StopsRun | None = None  # that no course has been told of, or not as the first
        self._at_once: StopsRun | None = None  # told to before there was a course

    @property
    def reason(self) -> StopsRun | None:
        """Why it ends; None: nothing has stopped it."""
        return self._fault or (self._course.reason if self._course is not None else None)

    def belongs_to(self, course: Course) -> None:
        """Learn which course it is that is stopped."""
        self._course = course
        if self._at_once is not None:
            course.stop(self._at_once)

    def by_person(self, reason: StopsRun) -> None:
        """Let the replies on their way land; the second time, give them up."""
        course = self._course
        if course is None:
            self._at_once = reason
        elif course.reason is None:
            course.stop(reason)
        else:
            given_up = course.asking.in_flight
            if given_up:
                replies = counted(given_up, "reply")
                bill = "" if self._rehearsal else "; the provider may bill that"
                self._say(f"Giving up {replies} on the way{bill}.")
            course.stop_now()

    def let_land(self, reason: StopsRun) -> None:
        """Stop, unless it is stopping already: unlike a person, a limit is never impatient."""
        if self._course is not None:
            self._course.stop(reason)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """What stops the run in here is why it ends, unless something else has before."""
        try:
            yield
        except StopsRun as fault:
            self._fault = self._fault or fault

    async def beside(self, work: Awaitable[None]) -> None:
        """Of a fault beside the course the run ends too, but what is on its way can be kept."""
        with self.noting():
            try:
                await work
            except MachineFault as fault:
                self.let_land(fault)
                raise
