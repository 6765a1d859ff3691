"""How does a run stand? From its summary while that can be trusted, else from what it has kept."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from runner.conclusion import next_command
from runner.durable import temporary_of
from runner.folder import RunFolder
from runner.kept import Kept
from runner.reading import in_one_layout
from runner.soundness import examine, look_through_journal, missing
from runner.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.damage import Damage
    from runner.folder import RunFile
    from runner.tally import Tally

_DEPTH = 3  # how far below a folder runs are looked for
_TAIL_BYTES = 4096  # of measures.jsonl: some lines


def summary_of(folder: RunFolder, run: RunFile, name: str) -> Summary:
    """Where the run stands now; `name` is what to call it. Writes nothing.

    A process that works on it tells by summary.json. One that died there told less than it did, so
    its results are counted. Where none works on it, files that are missing or have another size are
    told too.
    """
    return in_one_layout(folder, run, lambda there: _summary_of(folder, there, name))


def _summary_of(folder: RunFolder, run: RunFile, name: str) -> Summary:
    # Asked before the file is read: a process ends only after its last word.
    is_live = folder.is_live()
    told = Summary.read(folder.summary)
    damaged = [] if is_live else examine(folder, run, verify=False)
    is_other = told is not None and told.layout != len(run.superseded)
    # A start that was refused took the lock too, and changed nothing.
    if told is None or ((is_live or is_other) and _is_stale(told, folder)):
        summary = _counted(folder, run, name, None, damaged, is_live=is_live)
        summary.killed_attempts = 0 if told is None else told.killed_by_now()
    elif told.exit_status is None and not is_live:
        # It may have ended in between, and then its last word is there now.
        told = Summary.read(folder.summary) or told
        if told.exit_status is None:
            summary = _counted(folder, run, name, told, damaged, is_live=False)
            summary.killed_attempts = told.killed_by_now()
        else:
            summary = told
    else:
        summary = told
    summary.run = name
    summary.damaged += damaged
    summary.next = next_command(summary, run.job)
    return summary


def all_done(folder: RunFolder, run: RunFile, name: str, rows: int | None) -> Tally | None:
    """What has come of the rows where none of the `rows` in scope of `run` is left, else None."""
    kept = folder.read_run()
    found = summary_of(folder, kept, name)
    same_scope = kept.pilot == run.pilot  # the rows of a pilot are scattered
    whole = rows is not None and found.tally.rows >= rows and not found.damaged
    return found.tally if same_scope and whole else None


def _is_stale(told: Summary, folder: RunFolder) -> bool:
    """Whether another process has taken up the run since, and told nothing yet."""
    since = folder.holder().get("since")
    return isinstance(since, float) and told.written_at is not None and told.written_at < since


def _counted(
    folder: RunFolder,
    run: RunFile,
    name: str,
    told: Summary | None,
    damaged: list[Damage],
    *,
    is_live: bool,
) -> Summary:
    ends = [end for end in (run.total_rows, run.job.first) if end is not None]
    rows = min(ends) if run.total_rows is not None else told.rows if told else None
    if run.pilot is not None:
        rows = len(run.pilot)
    summary = Summary(
        run=name,
        state="running" if is_live else "dead",
        rows=rows,
        tally=Kept(folder, run).tally({flaw.block for flaw in damaged}),
        elapsed_s=told.elapsed_s if told else 0.0,
        elapsed_before_s=told.elapsed_before_s if told else 0.0,
        rehearsal=run.rehearsal,
        superseded=run.superseded_total(),
        pilot=None if run.pilot is None else len(run.pilot),
        estimated=told.estimated if told else None,
        export=run.export,
        written_at=told.written_at if told else run.created,
    )
    if not is_live:
        summary.damaged += _gone(folder, run, summary.tally, damaged)
        who = folder.holder()
        summary.message = (
            f"its process ({who.get('pid', 'unknown')} on {who.get('host', 'this machine')}) is "
            f"gone and did not say why; what it kept is counted here{_half_written(folder)}"
        )
    return summary


def _half_written(folder: RunFolder) -> str:
    """What is likely where the last word was begun: a process that is killed seldom writes one."""
    begun = temporary_of(folder.summary)
    if not begun.exists() or Summary.read(begun) is not None:
        return ""
    return f". Perhaps the disk was full: {begun} was begun and is not whole"


def _gone(folder: RunFolder, run: RunFile, found: Tally, damaged: list[Damage]) -> list[Damage]:
    """Journal files under another name, or else results that are not to be found at all."""
    astray, lines = look_through_journal(folder, run)
    if astray or damaged:
        return astray
    flaw = missing(folder, run, found, named=len(lines))
    return [] if flaw is None else [flaw]


def pace_of(folder: RunFolder, summary: Summary) -> tuple[float, float | None] | None:
    """Requests per second as the run last measured them, and the seconds that the rest will take.

    None where nothing was measured in the last minute, or no request had come back by then, and
    while it is paused or the endpoint answers nobody.
    """
    try:
        with folder.measures.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
        last = orjson.loads(next(line for line in reversed(lines) if line.endswith(b"\n")))
        at, per_second = float(last["at"]), float(last["requests_per_s"])
        began = bool(last["requests"])
    except (OSError, StopIteration, ValueError, LookupError, TypeError):
        return None
    if at < time.time() - 60 or not began or summary.state in {"paused", "waiting"}:
        return None
    tally = summary.tally
    if summary.pending is None or summary.state != "running" or not (tally.rows and per_second):
        return per_second, None
    return per_second, summary.pending * max(1.0, tally.requests / tally.rows) / per_second


def runs_below(start: Path) -> Iterator[RunFolder]:
    """The run folders at `start` and in its folders, three levels down, in order of name."""
    if RunFolder(start).exists():
        yield RunFolder(start)
        return
    for path, folders, files in os.walk(start):
        here = Path(path)
        if "run.json" in files:
            folders.clear()
            yield RunFolder(here)
            continue
        deep = len(here.relative_to(start).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(one for one in folders if not one.startswith("."))
