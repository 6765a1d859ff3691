"""What is said before a run begins: what is asked, of whom, and which limits hold."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from jobs.screen import whoever_reads_it
from jobs.words import counted

if TYPE_CHECKING:
    from runner import Run


def print_opening(run: Run) -> None:
    """The opening lines on stderr."""
    from runner import budget_notes

    flight = run.flight
    dataset, endpoint, facts = flight.dataset, flight.endpoint, flight.facts
    rows = "rows not counted yet" if flight.rows is None else counted(flight.rows, "row")
    files = dataset.paths[0] if len(dataset.paths) == 1 else counted(len(dataset.paths), "file")
    if run.pilot is not None:
        rows = f"{rows}, of them {run.pilot:,} for a pilot"
    first = flight.job.first
    if first is not None:
        rows = "the first row (-n)" if first == 1 else f"the first {first:,} rows (-n)"
    lines = [
        f"dataset: {files} ({dataset.kind}, {rows})",
        f"prompts: {flight.template.describe}",
        f"model: {facts.name}{', streamed' if flight.stream else ''}",
    ]
    done = run.all_done()
    if done is not None:
        have = f"{counted(done.rows, 'row')}, {done.failed:,} failed"
        lines.append(f"nothing is sent: the run is finished ({have})")
        if done.failed:
            again = f"penstock resume {shlex.quote(run.name)} --retry failed"
            lines.append(f"note: to ask again what failed: {again}")
    elif run.rehearsal:
        lines.append("asks: a stand-in server, for rehearsal; no key, no bill, made-up answers")
    else:
        region = f"{endpoint.provider}, {endpoint.region or 'own address'}"
        lines.append(f"asks: {endpoint.base_url} ({region})")
    lines += [f"warning: {warning}" for warning in facts.warnings + flight.warnings]
    lines += [f"note: {note}" for note in flight.notes]
    if done is None:
        lines += flight.limits.notes
        lines += budget_notes(flight)
    lines.append(f"run: {run.name}")
    with whoever_reads_it():
        print(*lines, sep="\n", file=sys.stderr)
