"""What would a resume reuse, ask anew, and why? Sends nothing, writes nothing."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runner.compared import compare
from runner.counted import counted
from runner.drift import file_change, job_differences, same_dataset, with_changes
from runner.folder import run_folder_of
from runner.kept import Kept
from runner.matching import Kind
from runner.preflight import prepare
from runner.reading import in_one_layout
from runner.soundness import examine, look_through_journal, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.compared import Compared
    from runner.damage import Damage
    from runner.folder import RunFile, RunFolder
    from runner.preflight import Preflight

ACCEPT, KEEP = "--accept-changes", "--keep-answered"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a resume would do. Made by `plan` and `plan_of`, shown by the commands."""

    run: str  # as the user named it
    differences: list[str]  # a line for each setting of the job that is not what it was
    dataset: str | None  # what tells that the dataset has changed; None: it has not
    rows: int | None  # in scope; None while the dataset has not been read to its end
    succeeded: int  # answers that stand
    failed: int  # failures that stand; `--retry failed` asks them again
    other_job: int = 0  # rows with an answer that the job asks otherwise now
    other_input: int = 0  # rows with an answer whose input has changed
    gone: int = 0  # answers whose rows are not there any more
    pending: int | None = None  # rows in scope that have no answer; None while unknown
    to_ask: int | None = None  # what a resume, with --accept-changes where it needs that, asks
    models: dict[str, int] = field(default_factory=dict)  # answers that stand, by who gave them
    asked: dict[str, int] = field(default_factory=dict)  # rows to be asked, by model
    damaged: list[Damage] = field(default_factory=list)
    damaged_lines: list[str] = field(default_factory=list)  # of the journal; rows asked again
    superseded: dict[str, Any] | None = None  # paid for earlier, and not part of the output
    pilot: bool = False  # only a pilot's rows have been in scope so far

    @property
    def drifted(self) -> bool:
        """Whether the job or the dataset is not what the answers were given to."""
        return bool(self.differences) or self.dataset is not None

    @property
    def flags(self) -> list[str]:
        """The flags of which a resume needs one; empty where it goes on without."""
        if self.drifted:
            return [ACCEPT, KEEP]
        return [ACCEPT] if self.damaged else []

    def lines(self) -> list[str]:
        """The plan for a person, the next command aside."""
        lines = [f"{self.run}: what a resume would do; nothing is sent"]
        lines += [f"  job       {line}" for line in self.differences]
        if self.dataset is not None:
            lines.append(f"  dataset   {self.dataset}")
        reused = counted(self.succeeded + self.failed, "row")
        lines.append(f"  reused    {reused}: {self.succeeded:,} succeeded, {self.failed:,} failed")
        changed = self.other_job + self.other_input
        if changed:
            by = {"the job": self.other_job, "the input": self.other_input}
            why = ", ".join(f"{rows:,} by {what}" for what, rows in by.items() if rows)
            lines.append(f"  changed   {counted(changed, 'row')}: {why}")
        pending = "unknown until the dataset has been read"
        if self.pending is not None:
            pending = f"{counted(self.pending, 'row')} without an answer"
        lines.append(f"  new       {pending}")
        if self.gone:
            gone = counted(self.gone, "answer whose row is", "answers whose rows are")
            lines.append(f"  gone      {gone} not there any more")
        lines += [f"  damaged   {flaw}" for flaw in (*self.damaged, *self.damaged_lines)]
        lines += self._models()
        if self.superseded is not None:
            more = counted(self.superseded["rows"], "row more", "rows more")
            lines.append(f"  paid      {more}, in superseded/")
        lines += self._needs()
        return lines

    def _models(self) -> list[str]:
        if not self.asked or not self.models:
            return []
        stay = ", ".join(
            f"{counted(rows, 'row')} answered by {model}" for model, rows in self.models.items()
        )
        ask = ", ".join(f"{rows:,} to be asked of {model}" for model, rows in self.asked.items())
        mixture = " (a mixture in one output)" if len({*self.models, *self.asked}) > 1 else ""
        return [f"  model     {stay} stay, {ask}{mixture}"]

    def _needs(self) -> list[str]:
        if not self.flags:
            return []
        count = "some rows" if self.to_ask is None else counted(self.to_ask, "row")
        lines = [f"  needs     {ACCEPT}: asks {count}"]
        if KEEP in self.flags:
            lines[0] += f"; or {KEEP}: asks the {self.pending:,} without an answer"
        return lines

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `plan --json`."""
        return {
            "run": self.run,
            "job": self.differences,
            "dataset": self.dataset,
            "rows": self.rows,
            "reused": self.succeeded + self.failed,
            "reused_succeeded": self.succeeded,
            "reused_failed": self.failed,
            "changed": self.other_job + self.other_input,
            "changed_by_job": self.other_job,
            "changed_by_input": self.other_input,
            "new": self.pending,
            "gone": self.gone,
            "to_ask": self.to_ask,
            "models": self.models,
            "asked": self.asked,
            "damaged": [flaw.to_json() for flaw in self.damaged],
            "damaged_lines": self.damaged_lines,
            "superseded": self.superseded,
            "needs": self.flags,
        }


def plan(
    name: str,
    paths: Sequence[str] = (),
    *,
    changes: dict[str, Any] | None = None,
    verify: bool = False,
    providers_file: str | None = None,
) -> Plan:
    """What `resume` would do with the run at `name`, under `changes` to its job's settings.

    With `verify` every part is read and compared with its checksum; the journal's lines always are.
    Raises Refused where the job, the dataset or the folder is wrong.
    """
    folder, _ = run_folder_of(name)

    def planned(run: RunFile) -> Plan:
        job = with_changes(run.job, changes or {})
        flight = prepare(job, paths or run.paths, providers_file=providers_file)
        drifted = is_drift(run, flight)
        damaged = examine(folder, run, verify=verify or drifted)
        astray, lines = look_through_journal(folder, run)
        if drifted:
            compared = compare(folder, run, flight, damaged)
            found = plan_of(name, run, flight, compared, [*damaged, *astray], lines)
        else:
            found = _as_it_is(folder, run, flight, name, [*damaged, *astray], lines)
        return replace(found, pilot=run.pilot is not None)

    return in_one_layout(folder, folder.read_run(), planned)


def is_drift(run: RunFile, flight: Preflight) -> bool:
    """Whether the answers were given to another job, or over another dataset."""
    return bool(job_differences(run, flight.job)) or not same_dataset(run, flight.dataset)


def plan_of(
    name: str,
    run: RunFile,
    flight: Preflight,
    compared: Compared,
    damaged: list[Damage],
    damaged_lines: Sequence[str] = (),
) -> Plan:
    """The plan where the job or the dataset has changed."""
    found, matching = compared.found, compared.matching
    total = len(compared.wanted.rows)
    scope = total if flight.job.first is None else min(total, flight.job.first)
    kinds = matching.kinds
    # Arrays: a million integers as objects would be as large as all the rest.
    reused = array("i", (matching.source[row] for row in range(total) if kinds[row] == Kind.REUSED))
    failed = sum(found.failed[at] for at in reused)
    to_ask = array("i", (row for row in range(scope) if kinds[row] != Kind.REUSED))
    changed = None
    if not same_dataset(run, flight.dataset):
        changed = file_change(run, flight.dataset.stamp())
    return Plan(
        name,
        job_differences(run, flight.job),
        changed,
        scope,
        len(reused) - failed,
        failed,
        matching.count(Kind.OTHER_JOB),
        matching.count(Kind.OTHER_INPUT),
        matching.gone,
        pending=kinds[:scope].count(Kind.NEW),
        to_ask=len(to_ask),
        models=found.models.count(reused),
        asked=compared.wanted.models.count(to_ask),
        damaged=damaged,
        damaged_lines=list(damaged_lines),
        superseded=run.superseded_total(),
    )


def _as_it_is(
    folder: RunFolder,
    run: RunFile,
    flight: Preflight,
    name: str,
    damaged: list[Damage],
    damaged_lines: list[str],
) -> Plan:
    """The plan where nothing has changed: only what has no answer is asked."""
    journal = folder.place("journal", run)
    parts = {flaw.block for flaw in damaged if flaw.path.parent != journal}
    tally = Kept(folder, run).tally(parts)
    if not damaged and not folder.is_live():
        flaw = missing(folder, run, tally, named=len(damaged_lines))
        damaged = [] if flaw is None else [flaw]
    total = flight.total_rows or run.total_rows
    ends = [end for end in (total, flight.job.first) if end is not None]
    scope = None if total is None else min(ends)
    pending = None if scope is None else max(0, scope - tally.rows)
    asked = {flight.facts.name: pending} if pending and not flight.names_models else {}
    return Plan(
        name,
        [],
        None,
        scope,
        tally.succeeded,
        tally.failed,
        pending=pending,
        to_ask=pending,
        models=dict(sorted(tally.models.items())),
        asked=asked,
        damaged=damaged,
        damaged_lines=damaged_lines,
        superseded=run.superseded_total(),
    )
