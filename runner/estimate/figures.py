"""What do all requests take? By ranges that are known beforehand, or by answers that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.estimate.cost_forecast import Billing, Money, forecast_cost
from runner.estimate.measured_bill import bill_by, exactly
from runner.estimate.output_length import joined_sources
from runner.estimate.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.estimate.measured import Measured
    from runner.estimate.prompt_census import Census
    from runner.estimate.prompt_reading import Kind
    from runner.estimate.row_sample import Sample
    from runner.estimate.views import Assumptions, View

_WHOLE = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens and money of all requests, and what they rest on. Consumed by `sum_up`."""

    requests: float
    prompt: Range
    completion: Range
    reasoning: Range | None
    money: Money | None
    source: str
    assumed: bool


def by_ranges(census: Census, sample: Sample, bills: dict[Kind, Billing], share: float) -> Figures:
    """By what is known of answers' lengths beforehand."""
    outputs = [bill.output for bill in bills.values()]
    return Figures(
        requests=sample.scaled(census.requests),
        prompt=sample.between(
            census.weighed(lambda *_: (1 - share, 0.0)), census.weighed(lambda *_: (1 + share, 0.0))
        ),
        completion=_summed(census, sample, lambda kind: bills[kind].output.completion),
        reasoning=_reasoning(census, sample, bills),
        money=forecast_cost(census, sample, bills, share),
        source=joined_sources(output.source for output in outputs),
        assumed=any(output.assumed for output in outputs),
    )


def by_answers(
    measured: Measured,
    census: Census,
    sample: Sample,
    bills: dict[Kind, Billing],
    view: View,
    assumptions: Assumptions,
) -> Figures:
    """By answers that are there."""
    same_model = measured.is_of(view.model)
    found = bill_by(
        measured,
        census,
        sample,
        bills,
        as_billed=same_model and assumptions.price is None,
        error_share=view.error_share,
        same_model=same_model,
    )
    requests = sample.scaled(census.requests)
    source = measured.source
    if same_model and measured.done == round(requests):
        source = f"as billed: all answers are in {measured.run}"
        found = exactly(found, measured.tally, own_price=assumptions.price is not None)
    other = f"; {view.model} may answer at another length than {measured.model} did"
    return Figures(
        requests=requests,
        prompt=found.prompt,
        completion=found.completion,
        reasoning=found.reasoning,
        money=found.money,
        source=source + ("" if same_model else other),
        assumed=not same_model,
    )


def _summed(census: Census, sample: Sample, tokens_of: Callable[[Kind], Range]) -> Range:
    """Tokens of all answers; the requests of a sample differ little enough to leave their error."""
    total = Range(0, 0)
    for (kind, _), cell in census.cells.items():
        total += tokens_of(kind) * cell.requests
    return total * sample.scaled(_WHOLE)


def _reasoning(census: Census, sample: Sample, bills: dict[Kind, Billing]) -> Range | None:
    if all(bill.output.thinking is None for bill in bills.values()):
        return None
    return _summed(census, sample, lambda kind: bills[kind].output.thinking or Range(0, 0))
