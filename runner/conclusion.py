"""How did the run end, and what is to be done next?"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from runner.errors import Interrupted, MachineFault, StopsRun

if TYPE_CHECKING:
    from runner.job import Job
    from runner.summary import Summary


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
    tally, run = summary.tally, shlex.quote(summary.run)
    summary.message = str(reason) if reason is not None else None
    if summary.pending == 0 and not isinstance(reason, MachineFault):
        allowed = failures_allowed(job.limits.max_failed, summary.rows, otherwise=0)
        summary.state = "finished"
        summary.exit_status = 1 if tally.failed > allowed else 0
        retry = "failed" if tally.failed else "length" if tally.truncated else None
        more = " --param max_tokens=4000" if retry == "length" else ""
        summary.next = f"penstock resume {run} --retry {retry}{more}" if retry else None
        if job.first is not None and retry is None:
            summary.next = f"penstock resume {run} -n all"
        summary.next = summary.next or f"penstock show {run} -n 5"
        return
    reason = reason or Interrupted("it ended before all rows had a result")
    summary.state = "interrupted" if isinstance(reason, Interrupted) else "stopped"
    summary.exit_status = reason.exit_status
    summary.stopped_by = _words(type(reason).__name__)
    summary.stopped_at = time.time()
    summary.next = f"penstock resume {run}"


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
