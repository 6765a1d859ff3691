"""What a run shows while it goes: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from jobs.words import counted, duration, fitted, limit_words, spent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from runner import Run

_LIVE_S = 0.25
_BAR_WIDTH = 20
_NARROW = 60  # columns in which words matter more than a bar
_PLAIN_FIRST_S = 2.0  # soon, so that whoever looks sees it work
_PLAIN_S = 10.0  # a log file wants a line now and then, not a film


@contextmanager
def whoever_reads_it() -> Iterator[None]:
    """Lines for a person, who may be gone: a closed terminal must not stop or fail a run."""
    try:
        yield
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                _silence(stream)


def _silence(stream: TextIO) -> None:
    """Send a stream nowhere: what it still holds would fail once more at the exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Screen:
    """Lines and progress on stderr; with `quiet`, none."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None

    def say(self, text: str) -> None:
        """Show a line, where there still is somebody to show it to."""
        with whoever_reads_it():
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            elif not self._quiet:
                print(text, file=sys.stderr, flush=True)

    @contextmanager
    def shown(self, run: Run) -> Iterator[None]:
        """Show a run's progress while the context lasts."""
        if self._quiet:
            yield
            return
        show = self._live if sys.stderr.isatty() else self._plain
        showing = asyncio.get_running_loop().create_task(show(run))
        try:
            yield
        finally:
            showing.cancel()
            if self._bar is not None:
                with whoever_reads_it():
                    self._bar.stop()
                self._bar = None

    async def _plain(self, run: Run) -> None:
        wait_s = _PLAIN_FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            self.say(describe(run))
            wait_s = _PLAIN_S

    async def _live(self, run: Run) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        bar = [BarColumn(bar_width=_BAR_WIDTH)] if console.width >= _NARROW else []
        self._bar = Progress(
            *bar,
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        task = self._bar.add_task("starting", total=None)
        with whoever_reads_it():
            self._bar.start()
        with suppress(asyncio.CancelledError):
            while True:
                with whoever_reads_it():
                    await self._beat(run, task)
                await asyncio.sleep(_LIVE_S)

    async def _beat(self, run: Run, task: TaskID) -> None:
        summary = run.snapshot()
        if self._bar is not None:
            width = self._bar.console.width
            self._bar.update(
                task,
                total=summary.rows,
                completed=summary.tally.rows,
                description=describe(run, width=width - (_BAR_WIDTH + 1) * (width >= _NARROW)),
            )
            self._bar.refresh()


def describe(run: Run, *, width: int = 200) -> str:
    """Where the run stands, in one line; on a narrow terminal without what can be missed first."""
    summary = run.snapshot()
    tally, rates, left_s = summary.tally, run.rates, run.left_s()
    state = "" if summary.state == "running" else f"{summary.state}: "
    total = "?" if summary.rows is None else f"{summary.rows:,}"
    parts = [(0, f"{state}{tally.rows:,}/{total} rows")]
    if tally.failed:
        parts.append((1, f"{tally.failed:,} failed"))
    if rates is not None:
        parts.append((4, f"{rates.requests:,.1f} requests/s"))
    parts.append((6, f"{summary.in_flight:,} in flight"))
    if summary.parked:
        parts.append((7, f"{summary.parked:,} waiting to retry"))
    parts.append((8, counted(tally.total_tokens, "token")))
    if tally.currency is not None:
        parts.append((3, spent(tally.cost, tally.currency, rehearsal=summary.rehearsal)))
    if summary.limited_by is not None:
        parts.append((5, limit_words(summary.limited_by)))
    if left_s is not None and summary.pending:
        parts.append((2, f"{duration(left_s)} left"))
    return fitted(parts, width)
