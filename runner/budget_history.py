"""Can a budget hold over a run's whole life, with what the run took before?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.budget_limits import FLAGS, MONEY, limits_of
from runner.counted import counted
from runner.errors import JobError
from runner.losses import boundless

if TYPE_CHECKING:
    from runner.lease import Lease
    from runner.preflight import Preflight
    from runner.tally import Tally


def check_history(flight: Preflight, tally: Tally, lease: Lease) -> None:
    """Raise JobError where a limit that is set could not be kept."""
    _check_currency(flight, tally, lease)
    _check_losses(flight, tally, lease)


def _check_currency(flight: Preflight, tally: Tally, lease: Lease) -> None:
    """Raise JobError where what the run cost before cannot be told in the budget's currency."""
    if flight.job.limits.max_cost is None:
        return
    assert flight.facts.price is not None  # noqa: S101 - `prepare` has refused it
    currency = flight.facts.price.currency
    entry = lease.found(MONEY)
    others = {unit for unit, pico in tally.costs_pico.items() if pico and unit != currency}
    if entry is not None and entry.lost + entry.leased and entry.unit != currency:
        others.add(entry.unit)
    if others:
        raise JobError(
            f"--max-cost: this run has spent {', '.join(sorted(others))} before, and prices are in "
            f"{currency} now; a budget holds in one currency. Go on in the old region, or use "
            f"--max-total-tokens"
        )
    if tally.unpriced:
        raise JobError(
            f"--max-cost: {counted(tally.unpriced, 'row')} of this run got an answer while the "
            f"price was unknown, so nobody knows what has been spent. Use --max-total-tokens"
        )


def _check_losses(flight: Preflight, tally: Tally, lease: Lease) -> None:
    """Raise JobError where attempts without a limit may have cost more than anyone can tell."""
    for kind, _, _ in limits_of(flight):
        count = boundless(lease, kind, tally.unmetered_attempts)
        if count:
            flag = FLAGS[kind]
            raise JobError(
                f"{flag}: {counted(count, 'attempt')} of this run ended without a known bill while "
                f"no such limit held, and the most that it may have cost is not known (no "
                f"max_tokens, no known price, or {lease.path.name} is gone), so this one could not "
                f"hold over the run's whole life. {flag} none goes on without a limit; for one, "
                f"start a new run (-o) with the rows that have no answer yet"
            )
