"""Beside a run's course, twice a second: orders taken up, shares renewed, counts written down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.sharing import BEAT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.controlled import Controlled
    from runner.folder import RunFolder
    from runner.progress import Progress
    from runner.run import Course
    from runner.sharing import Sharing

_SUMMARY_EVERY = 2  # beats: a running run's counts are written for `status`
_MEASURE_EVERY = 10  # beats, for measures.jsonl


class Beats:
    """Made by `running`, which ends `go` when the course has ended."""

    def __init__(
        self,
        folder: RunFolder,
        course: Course,
        *,
        progress: Progress,
        controlled: Controlled,
        sharing: Sharing,
        tell: Callable[[], None],  # in the summary, where the run stands
    ) -> None:
        self._folder = folder
        self._course = course
        self._progress = progress
        self._controlled = controlled
        self._sharing = sharing
        self._tell = tell

    async def go(self) -> None:
        """Beat until it is cancelled. Raises MachineFault where counts cannot be written."""
        beat = 0
        while True:
            if beat % _SUMMARY_EVERY == 0:
                self._tell()  # the first time before anything is sent
                self._progress.mark()
            if beat % _MEASURE_EVERY == 0:
                self._progress.append_measure(self._folder.measures)
            await asyncio.sleep(BEAT_S)
            self._take_up()
            await self._sharing.renew(self._course.lanes)
            beat += 1

    def _take_up(self) -> None:
        """What `penstock control` wants, noted in the measures and answered in the summary."""
        news = self._controlled.look(self._course)
        if news is not None:
            self._tell()  # before what was paused until now is sent
            self._progress.append_measure(self._folder.measures, control=news)
