"""What a person who interrupts is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from runner.errors import Interrupted
from runner.stopping import Stopping

if TYPE_CHECKING:
    from runner.errors import StopsRun
    from runner.run import Course


class Going:
    """A course with so many replies on their way."""

    def __init__(self, in_flight: int) -> None:
        self.asking = SimpleNamespace(in_flight=in_flight)
        self.reason: StopsRun | None = None
        self.stopped_now = 0

    def stop(self, reason: StopsRun) -> None:
        self.reason = self.reason or reason

    def stop_now(self) -> None:
        self.stopped_now += 1


@pytest.mark.parametrize(
    ("in_flight", "told"),
    [
        (0, "No reply is on the way: the last part is being written, then it ends."),
        (1, "Giving up 1 reply on the way; the provider may bill that."),
        (3, "Giving up 3 replies on the way; the provider may bill that."),
    ],
)
def test_whoever_interrupts_again_is_told_what_goes_on(in_flight: int, told: str) -> None:
    said: list[str] = []
    course = Going(in_flight)
    stopping = Stopping(said.append, rehearsal=False)
    stopping.belongs_to(cast("Course", course))
    stopping.by_person(Interrupted("enough"))
    assert said == []  # the course says what it waits for
    stopping.by_person(Interrupted("enough"))
    assert said == [told]
    assert course.stopped_now == 1
