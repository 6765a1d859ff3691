"""A process's last word on its run: what the one before left, and what this one leaves."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.conclusion import conclude
from runner.counted import counted
from runner.errors import MachineFault, StopsRun
from runner.export import export
from runner.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.folder import RunFile, RunFolder
    from runner.progress import Progress


@dataclass(frozen=True, slots=True)
class Before:
    """What the processes before this one have come to. Made by `look_back`, told by `so_far`."""

    elapsed_s: float = 0.0  # that they took
    killed_attempts: int = 0  # up to so many were on their way when they were killed


def look_back(folder: RunFolder, say: Callable[[str], None]) -> Before:
    """How long the processes before took, and what they were killed with; the last one is told."""
    before = Summary.read(folder.summary)
    if before is None:
        return Before()
    killed_attempts = before.killed_by_now()
    killed_now = killed_attempts - before.killed_attempts
    if killed_now:
        say(
            f"The process before ended without a last word, with up to "
            f"{counted(killed_now, 'reply')} on the way: those that did not land "
            f"{'' if before.rehearsal else 'may be billed, and '}are asked again."
        )
    return Before(before.elapsed_s + before.elapsed_before_s, killed_attempts)


async def leave(
    summary: Summary,
    reason: StopsRun | None,
    folder: RunFolder,
    run: RunFile,
    file: Path | None,  # the one beside the folder, for `-o FILE`
    progress: Progress | None,
) -> None:
    """Fill in how it ended, export what there is, and write it down as far as the disk allows."""
    conclude(summary, reason, run.job)
    if file is not None and summary.tally.rows:
        try:
            await asyncio.to_thread(export, folder, run, file, overwrite=True)
        except StopsRun as fault:
            # Whatever it was, the file that was asked for is not there.
            conclude(summary, MachineFault(str(fault)), run.job)
    with suppress(StopsRun):  # the disk may be what stopped it; the caller still gets to know
        summary.write(folder.summary)
        if progress is not None:
            progress.append_measure(folder.measures)
