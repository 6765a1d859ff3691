"""Takes up what `penstock control` wants of a run, at each beat of the process that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.control import Wanted, read_order
from runner.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.folder import RunFolder
    from runner.run import Course


class Controlled:
    """One process's side of control.json; made while it holds the run's lock."""

    def __init__(self, folder: RunFolder, *, say: Callable[[str], None]) -> None:
        self._path = folder.control
        self._since = folder.holder().get("since")
        self._say = say
        self._serial = 0
        self._refused: str | None = None
        self._wanted = Wanted()  # that was taken up so far

    def answer(self) -> dict[str, Any] | None:
        """For the summary: what was taken up last, and why not, if it was not; None: nothing."""
        if not self._serial:
            return None
        return {"serial": self._serial, "refused": self._refused}

    def look(self, course: Course) -> dict[str, Any] | None:
        """Take up what is newly wanted. Returns it for the measures; None: there was nothing."""
        order = read_order(self._path, self._since)
        if order is None or order.serial == self._serial:
            return None
        self._serial, self._refused = order.serial, None
        news = order.wanted.beyond(self._wanted)
        try:
            course.change(news)
        except JobError as error:
            self._refused = str(error)
        else:
            self._wanted = order.wanted
        self._say(f"penstock control: {self._refused or news.describe()}")
        return {**news.to_json(), "refused": self._refused}
