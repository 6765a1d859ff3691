"""Is it all right to spend that? The estimate before a run, and the question when it is dear."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from jobs.estimate_words import about, about_lines
from jobs.going import is_person
from jobs.screen import whoever_reads_it

if TYPE_CHECKING:
    from runner import Estimate, Range, Run

_ASK_ABOVE_USD = 10.0  # at the upper end of the estimate: a surprise costs more than a question


def ask_before_paying(
    run: Run, *, yes: bool, quiet: bool, prices: dict[str, float | None] | None = None
) -> Estimate | None:
    """Say about what the rows that are left will cost; ask where that may be more than 10 USD.

    An amount in a currency without an exchange rate here is asked about too.

    `prices`: `price_input` and `price_output`, where somebody knows better than the tables. The
    estimate, where one was made.
    Raises JobError when the answer is no, or when there is nobody to ask. A rehearsal costs
    nothing, and neither does a run without rows left; both pass in silence.
    """
    from runner import JobError, first_look

    if run.rehearsal or (yes and quiet):
        return None
    found = first_look(run.flight, done=run.rows_done(), pilot=run.pilot, **(prices or {}))
    if found is None:
        return None
    if not quiet:
        with whoever_reads_it():
            print(*about_lines(found), sep="\n", file=sys.stderr)
    dear = _dear(found)
    # Who has set a limit has answered the question.
    if dear is None or yes or run.flight.job.limits.max_cost is not None:
        return found
    amount, currency = dear
    if not is_person():
        from runner import in_usd

        more = f"at its upper end more than {_ASK_ABOVE_USD:g} USD"
        if in_usd(amount.high, currency or "USD") is None:
            more = f"which nothing here compares with {_ASK_ABOVE_USD:g} USD"
        raise JobError(
            f"this run may cost {about(amount, currency)}, {more}, and there is no "
            "terminal to ask at. Nothing was sent. Add --yes to go ahead, or bound it: "
            "--max-cost 5, -n for fewer rows, --param "
            "max_tokens=300 for shorter answers. `penstock estimate` tells more"
        )
    if not click.confirm(f"This may cost {about(amount, currency)}. Begin?", err=True):
        raise JobError("not begun; nothing was sent and no run folder was made")
    return found


def _dear(found: Estimate) -> tuple[Range, str] | None:
    """The amount to ask about; None where it is small, or unknown, which has been said."""
    from runner import in_usd

    money = found.models[0].money
    if money is None or not money.total.high:
        return None
    # Of a price without a currency the cautious reading is that it is a dear one.
    worth = in_usd(money.total.high, money.currency or "USD")
    if worth is not None and worth <= _ASK_ABOVE_USD:
        return None  # what nobody here can compare is asked about
    return money.total, money.currency
