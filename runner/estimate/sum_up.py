"""What does a census come to? Tokens, money and time, for each model that is looked at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runner.estimate.cost_forecast import Billing, Money
from runner.estimate.estimated import Estimate, ModelEstimate
from runner.estimate.figures import by_answers, by_ranges
from runner.estimate.measured_bill import latency_of
from runner.estimate.output_length import output_length
from runner.estimate.prompt_reading import Kind
from runner.estimate.ranges import Range
from runner.estimate.time_forecast import Load, forecast_time
from runner.pacing import choose_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.estimate.measured import Measured
    from runner.estimate.prompt_census import Census
    from runner.estimate.row_sample import Sample
    from runner.estimate.views import Assumptions, View
    from runner.preflight import Preflight

# A pilot's range that is wider than the first is worth asking more rows, until it is the second.
_WIDE, _NARROW = 2.0, 1.5


def sum_up(
    flight: Preflight,
    census: Census,
    sample: Sample,
    views: Sequence[View],
    assumptions: Assumptions,
    *,
    place: str | None,
    rows_exact: bool = True,
) -> Estimate:
    """The estimate that follows from a census. `place` tells which rows were counted."""
    return Estimate(
        dataset=flight.dataset.paths,
        rows=sample.of,
        rows_exact=rows_exact,
        counted_rows=sample.rows,
        sample=place,
        sample_small=sample.is_small,
        requests=sample.scaled(census.requests),
        unsent=census.unsent,
        tokenizer=views[0].tokenizer,
        longest_prompt=census.longest,
        inexact=census.inexact,
        models=tuple(_of_model(flight, census, sample, view, assumptions) for view in views),
        measured=assumptions.measured,
    )


def _of_model(
    flight: Preflight, census: Census, sample: Sample, view: View, assumptions: Assumptions
) -> ModelEstimate:
    bills = _bills(flight, census, view, assumptions)
    facts, measured = view.facts, assumptions.measured
    if measured is None:
        found = by_ranges(census, sample, bills, view.error_share)
        done, put_right = 0.0, False
    else:
        found = by_answers(measured, census, sample, bills, view, assumptions)
        own = measured.is_of(view.model)
        done = min(found.requests, measured.done) if own else 0.0
        put_right = own and measured.is_part
    left = 1 - done / max(1.0, found.requests)
    return ModelEstimate(
        model=view.model or "each row's own",
        region=flight.endpoint.region,
        exact=view.exact and not census.inexact,
        error_share=0.0 if put_right else view.error_share,
        put_right=put_right,
        prompt_tokens=found.prompt,
        completion_tokens=found.completion,
        reasoning_tokens=found.reasoning,
        output_per_request=found.completion * (1 / max(1.0, found.requests)),
        output_source=found.source,
        output_assumed=found.assumed,
        money=found.money,
        time=forecast_time(
            Load(
                found.requests - done,
                (found.prompt + found.completion) * left,
                _one_answer(census, bills),
            ),
            choose_limits(flight.job.limits, facts),
            account_per_s=facts.rpm / 60 if facts.rpm else None,
            measured=_latency(assumptions),
        ),
        done=done,
        to_pay=_to_pay(found.money, measured) if done and assumptions.price is None else None,
        too_long=_too_long(census, sample, facts.max_prompt_tokens),
        wider_pilot=None
        if measured is None or not measured.pilot
        else wider_pilot(
            found.completion if found.money is None else found.money.total,
            len(measured.answers),
            found.requests,
        ),
        warnings=facts.warnings,
    )


def _latency(assumptions: Assumptions) -> tuple[Range, str] | None:
    given, measured = assumptions.latency_s, assumptions.measured
    if given is not None:
        return Range(given, given), f"--latency {given:g}"
    found = latency_of(measured) if measured is not None else None
    if measured is None or found is None:
        return None
    return found.mean, (
        f"the mean of {found.answers:,} answers in {measured.run}, 95 of 100 of them within "
        f"{found.most_within_s:.3g} s"
    )


def wider_pilot(found: Range, answers: int, requests: float) -> int | None:
    """How many rows a pilot needs for a range of about 1.5 to 1, by one of `answers` that found so.

    None where the range is not wider than 2 to 1, or where that is half of all rows and more: then
    asking them all is as good. An error shrinks with the square root of the rows.
    """
    if found.high <= _WIDE * found.low:
        return None
    ends = math.log(found.high / found.low) if found.low > 0 else math.inf
    needed = answers * (ends / math.log(_NARROW)) ** 2
    if needed > requests / 2:
        return None
    return math.ceil(needed / 100) * 100


def _to_pay(money: Money | None, measured: Measured | None) -> Range | None:
    if money is None or measured is None or not measured.is_part:
        return None
    paid = measured.tally.cost
    if paid is None or measured.tally.currency not in {None, money.currency}:
        return None
    return Range(max(0.0, money.total.low - paid), max(0.0, money.total.high - paid))


def _bills(
    flight: Preflight, census: Census, view: View, assumptions: Assumptions
) -> dict[Kind, Billing]:
    """How each kind of request is billed; of an empty census, how a usual one would be."""
    bills = {}
    for kind in {kind for kind, _ in census.cells} or {Kind(view.facts.name)}:
        facts = view.facts if view.model is not None else flight.facts_of(kind.model)
        thinks = facts.thinks({"enable_thinking": kind.enable_thinking})
        output = output_length(kind, thinks=thinks, given=assumptions.output_tokens)
        bills[kind] = Billing(assumptions.price or facts.price, facts.name, thinks, output)
    return bills


def _one_answer(census: Census, bills: dict[Kind, Billing]) -> Range:
    """Tokens of one answer; several to one prompt (`n`) are written at the same time."""
    total = Range(0, 0)
    for (kind, _), cell in census.cells.items():
        total += bills[kind].output.completion * (cell.requests / kind.choices)
    return total * (1 / max(1, census.requests))


def _too_long(census: Census, sample: Sample, max_prompt_tokens: int | None) -> int:
    if max_prompt_tokens is None:
        return 0
    beyond = [
        cell.requests
        for cell in census.cells.values()
        if cell.tokens / cell.requests > max_prompt_tokens
    ]
    return round(sample.scaled(sum(beyond)))
