"""`penstock status`: what is done, spent and pending, also while a run goes on."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from jobs.options import json_option
from jobs.words import duration, fitted, limit_words, money, spent, summary_lines

if TYPE_CHECKING:
    from runner import RunFolder, Summary

_BEAT_S = 1.0  # a run writes its summary about as often
_LIVE_STATES = frozenset({"running", "waiting", "paused", "draining"})
_DEAD_STATUS = 5  # its process is gone without a word: a fault on its machine
_DAMAGED_STATUS = 5  # so are files that are gone


@click.command()
@click.argument("run", required=False)
@click.option("--follow", is_flag=True, help="Go on showing it until it ends.")
@json_option
def status(*, run: str | None, follow: bool, as_json: bool) -> int:
    """Show how RUN stands: a run folder, or the file that -o named.

    Without RUN, all runs in this folder and below it, a line each. The exit status is 5 where files
    of RUN are missing or damaged; with --follow also if its process has died, else the run's own.
    """
    if run is None:
        if follow:
            raise click.UsageError("--follow needs a RUN; `penstock status` lists those below here")
        return _list_runs(as_json=as_json)
    if follow:
        return _follow(run, as_json=as_json)
    from runner import pace_of, run_folder_of

    folder, _ = run_folder_of(run)
    summary = _summary(folder, run)
    pace = pace_of(folder, summary) if summary.state in _LIVE_STATES else None
    _print(summary, pace, as_json=as_json)
    return _DAMAGED_STATUS if summary.damaged else 0


def _summary(folder: RunFolder, name: str) -> Summary:
    from runner import summary_of

    return summary_of(folder, folder.read_run(), name)


def _print(summary: Summary, pace: tuple[float, float | None] | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary.to_json(), ensure_ascii=False))
        return
    *lines, last = summary_lines(summary)
    if pace is not None:
        lines.append(f"  pace      {_pace_words(pace)}, {_on_the_way(summary)}")
    print("\n".join([*lines, last]))


def _pace_words(pace: tuple[float, float | None]) -> str:
    per_second, left_s = pace
    left = f", about {duration(left_s)} left" if left_s else ""
    return f"{per_second:,.1f} requests/s{left}"


def _on_the_way(summary: Summary) -> str:
    parked = f", {summary.parked:,} waiting to retry" if summary.parked else ""
    binds = f", {limit_words(summary.limited_by)}" if summary.limited_by else ""
    return f"{summary.in_flight:,} in flight{parked}{binds}"


def _list_runs(*, as_json: bool) -> int:
    from pathlib import Path

    from runner import StopsRun, runs_below

    found: list[dict[str, object]] = []
    lines: list[tuple[str, ...]] = []
    for folder in runs_below(Path()):
        name = str(folder.path)
        try:
            run = folder.read_run()
            if run.export is not None and f"{Path(run.export).name}.run" == folder.path.name:
                name = name.removesuffix(".run")
            summary = _summary(folder, name)
        except StopsRun as error:  # one bad folder must not hide the others
            found.append({"run": name, "state": None, "message": str(error)})
            lines.append((name, "unreadable", str(error)))
        else:
            found.append(summary.to_json())
            lines.append(_columns(summary))
    if as_json:
        print(json.dumps({"runs": found}, ensure_ascii=False))
    elif lines:
        _print_table(lines)
    else:
        print("There is no run in this folder or three levels below it.", file=sys.stderr)
    return 0


def _columns(summary: Summary) -> tuple[str, ...]:
    tally = summary.tally
    total = "?" if summary.rows is None else f"{summary.rows:,}"
    when = "" if summary.written_at is None else duration(time.time() - summary.written_at) + " ago"
    kind = "rehearsal" if summary.rehearsal else money(tally.cost, tally.currency)
    return (
        summary.run,
        f"{summary.state}, damaged" if summary.damaged else summary.state,
        f"{tally.rows:,}/{total} rows",
        f"{tally.failed:,} failed",
        kind if tally.total_tokens or summary.rehearsal else "",
        when,
    )


def _print_table(lines: list[tuple[str, ...]]) -> None:
    # A message may be as long as it likes; it is the last of its line.
    widths = [max(len(line[at]) for line in lines if len(line) > at) for at in range(2)]
    widths += [max((len(line[at]) for line in lines if len(line) > 3), default=0) for at in (2, 3)]
    widths += [max((len(line[4]) for line in lines if len(line) > 3), default=0), 0]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        print("  ".join(cells).rstrip())


def _follow(name: str, *, as_json: bool) -> int:
    """Show the run until it ends; its exit status."""
    from runner import pace_of, run_folder_of

    folder, _ = run_folder_of(name)
    live = sys.stderr.isatty()
    shown = ""
    while (summary := _summary(folder, name)).state in _LIVE_STATES:
        pace = pace_of(folder, summary)
        line = _line(summary, pace)
        if live:
            # A wrapped line could not be drawn over.
            most = shutil.get_terminal_size().columns - 1
            fits = _line(summary, pace, width=most)[:most]
            print(f"\r\x1b[K{fits}", end="", file=sys.stderr, flush=True)
        elif line != shown:
            print(line, file=sys.stderr, flush=True)
        shown = line
        time.sleep(_BEAT_S)
    if live and shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    _print(summary, None, as_json=as_json)
    if summary.damaged:
        return _DAMAGED_STATUS
    return _DEAD_STATUS if summary.exit_status is None else summary.exit_status


def _line(summary: Summary, pace: tuple[float, float | None] | None, *, width: int = 200) -> str:
    tally = summary.tally
    total = "?" if summary.rows is None else f"{summary.rows:,}"
    parts = [(0, f"{summary.state}: {tally.rows:,}/{total} rows")]
    if tally.failed:
        parts.append((1, f"{tally.failed:,} failed"))
    if pace is not None:
        parts.append((2, _pace_words(pace)))
    parts.append((4, _on_the_way(summary)))
    if tally.total_tokens:
        parts.append((3, spent(tally.cost, tally.currency, rehearsal=summary.rehearsal)))
    return fitted(parts, width)
