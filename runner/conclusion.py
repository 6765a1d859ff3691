"""How did the run end, and what is to be done next?"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from runner.counted import counted
from runner.deadline import is_over
from runner.errors import BudgetReached, Interrupted, MachineFault, ProviderStopped, StopsRun

if TYPE_CHECKING:
    from runner.job import Job
    from runner.summary import Summary


# Kinds of failure that asking again, with nothing changed, cannot mend.
_HOPELESS = frozenset(
    {"input", "empty_prompt", "template", "too_large", "context_length", "content_filter"}
)


def too_many_failed(failed: int, max_failed: str | None) -> BudgetReached:
    """Why a run ends of which so many rows have failed."""
    rows = counted(failed, "row has", "rows have")
    return BudgetReached(f"{rows} failed, more than --max-failed {max_failed}")


def failures_allowed(max_failed: str | None, rows: int | None, *, otherwise: float) -> float:
    """What --max-failed (`20`, `1.5%`) comes to in rows; `otherwise` where it is not given."""
    if max_failed is None:
        return otherwise
    if not max_failed.endswith("%"):
        return int(max_failed)
    # A share of an unknown number of rows cannot be exceeded yet.
    return float("inf") if rows is None else rows * float(max_failed[:-1]) / 100


def conclude(summary: Summary, reason: StopsRun | None, job: Job) -> None:
    """Fill in how it ended and what to do next."""
    summary.message = str(reason) if reason is not None else None
    if summary.pending == 0 and not isinstance(reason, MachineFault):
        allowed = failures_allowed(job.limits.max_failed, summary.rows, otherwise=0)
        summary.state = "finished"
        summary.exit_status = 1 if summary.tally.failed > allowed else 0
        summary.next = next_command(summary, job)
        return
    reason = reason or Interrupted("it ended before all rows had a result")
    summary.state = "interrupted" if isinstance(reason, Interrupted) else "stopped"
    summary.exit_status = reason.exit_status
    summary.stopped_by = _words(type(reason).__name__)
    summary.stopped_at = time.time()
    summary.mend = reason.mend if isinstance(reason, ProviderStopped) else None
    summary.next = next_command(summary, job)


def next_command(summary: Summary, job: Job) -> str:
    """What to paste next, by the run's state and counts."""
    run, tally = shlex.quote(summary.run), summary.tally
    if summary.state in {"running", "waiting", "paused", "draining"}:
        return f"penstock status {run} --follow"
    if summary.damaged:
        return f"penstock plan {run} --verify"
    if summary.state != "finished":
        return f"penstock resume {run}{_more(summary, job)}"
    if summary.pilot is not None:
        return f"penstock resume {run} -n {job.first or 'all'}"
    if job.first is not None:
        return f"penstock resume {run} -n all"
    if tally.failures.keys() - _HOPELESS:
        return f"penstock resume {run} --retry failed"
    if tally.failed:
        return f"penstock show {run} --failed"
    if tally.truncated:
        most = job.params.get("max_tokens")
        more = f" --param max_tokens={2 * most}" if isinstance(most, int) else ""
        return f"penstock resume {run} --retry length{more}"
    return f"penstock show {run} -n 5"


def _more(summary: Summary, job: Job) -> str:
    """Flags without which a resume would stop at once."""
    flags = f" {summary.mend}" if summary.mend else ""
    if flags.startswith(" --api-key-env") and job.api_key_file is not None:
        flags = " --api-key-file PATH"  # which is looked for first
    if summary.budget is not None and summary.budget.get("raise_to"):
        flags += f" {summary.budget['raise_to']}"
    most = failures_allowed(job.limits.max_failed, summary.rows, otherwise=float("inf"))
    if summary.tally.failed > most:
        flags += f" --max-failed {2 * summary.tally.failed}"
    if job.limits.deadline is not None and is_over(job.limits.deadline):
        flags += " --deadline none"
    return flags


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
