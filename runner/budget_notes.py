"""What does the budget allow? The lines for a run's start, from its first rows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from runner.account import MOST_AT_RISK
from runner.budget_limits import FLAGS, limits_of, shown, worst_case_of
from runner.counted import counted
from runner.errors import FailsRow

if TYPE_CHECKING:
    from runner.account import Amount
    from runner.preflight import Preflight

_FIRST_ROWS = 64
_FEW = 8  # on their way at once: fewer are worth a word


def budget_notes(flight: Preflight) -> tuple[str, ...]:
    """What the budget allows, from the first rows: a line a limit for the start of a run."""
    settings = flight.job.limits
    notes = []
    if settings.deadline is not None:
        notes.append(f"deadline: {settings.deadline} (--deadline)")
    if settings.max_cost is None and settings.max_total_tokens is None:
        return tuple(notes)
    worst = _worst_of_first_rows(flight)
    for kind, unit, most in limits_of(flight):
        line = f"budget: {shown(most, unit)} over the run's life ({FLAGS[kind]})"
        if worst is not None:
            at_once = max(1, most // MOST_AT_RISK // max(1, worst[kind]))
            line += f"; one request may take {shown(worst[kind], unit)}"
            if at_once < flight.limits.most_workers:
                line += f", so at most {counted(at_once, 'is', 'are')} on the way at once"
                if at_once < _FEW:
                    line += "; a lower --param max_tokens allows more"
        notes.append(line)
    return tuple(notes)


def _worst_of_first_rows(flight: Preflight) -> Amount | None:
    """The worst case of a usual row, as far as the first ones are usual; None: none has a bound."""
    bounds = worst_case_of(flight)
    batches = flight.dataset.batches(
        columns=flight.template.columns, keep=(), spans=[range(_FIRST_ROWS)]
    )
    found = []
    for row in next(iter(batches)).rows:
        with suppress(FailsRow):
            found.append(bounds.of(flight.template.fill(row)))
    if not found:
        return None
    return sum(one[0] for one in found) // len(found), sum(one[1] for one in found) // len(found)
