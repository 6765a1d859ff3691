"""From answers that were measured to tokens and money for all: counted exactly where that can be.

The prompts' price is a sum over all of them, as counted. What the measured rows were billed beside
it (answers, tokens that the provider counts otherwise, what its cache saved, second attempts) is
carried over to the rest by `extrapolation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.estimate.cost_forecast import forecast_cost
from runner.estimate.extrapolation import Population, mean_range, total_of
from runner.estimate.ranges import Range
from runner.prices import cost_pico
from runner.tally import PICO

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.estimate.cost_forecast import Billing, Money
    from runner.estimate.measured import Answer, Measured
    from runner.estimate.prompt_census import Census
    from runner.estimate.prompt_reading import Kind
    from runner.estimate.row_sample import Sample
    from runner.tally import Tally

# Rows that nobody drew at random may differ from the rest by more than chance.
_UNDRAWN_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class MeasuredBill:
    """Tokens and money of all requests, by what was measured of some of them."""

    prompt: Range
    completion: Range
    reasoning: Range | None  # None: no answer told of any
    money: Money | None


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers took."""

    mean: Range  # seconds
    most_within_s: float  # 95 of 100 answers
    answers: int


def bill_by(
    measured: Measured,
    census: Census,
    sample: Sample,
    bills: dict[Kind, Billing],
    *,
    as_billed: bool,
    error_share: float,
    same_model: bool = True,
) -> MeasuredBill:
    """What all requests will come to. `as_billed`: the answers' own costs hold, else `bills`' do.

    `bills` has every kind of the census, and at least one. `error_share`: by which share of itself
    a count of prompt tokens may be off, unless it has been compared with the provider's.
    Without `same_model` all rows are still to be asked, the measured ones too.
    """
    share = 0.0 if measured.is_part and same_model else error_share
    answers = measured.answers
    counted = [float(one.counted) for one in answers]
    as_counted = census.weighed(lambda *_: (1.0, 0.0))
    requests = sample.scaled(census.requests)
    # Of a run beyond the scope (-n), nobody has looked which answers are those of its rows.
    within = same_model and measured.done <= round(requests)
    population = Population(
        requests=requests,
        counted=sample.scaled(as_counted.total),
        done=measured.done if within else 0,
    )
    margin = 0.0 if measured.pilot else _UNDRAWN_MARGIN

    def total(figure: Callable[[Answer], float], *, margin: float = margin) -> Range:
        return total_of([figure(one) for one in answers], counted, population, margin=margin)

    money = forecast_cost(census, sample, bills, share)
    if money is not None:
        costs = [_Cost.of(one, bills, as_billed=as_billed) for one in answers]
        input_ = money.input + total_of(
            [one.beside_count for one in costs], counted, population
        ) * (1 / PICO)
        output = total_of([one.output for one in costs], counted, population, margin=margin)
        # The batch interface finds nothing in a cache.
        uncached = money.input + total_of(
            [one.beside_count + one.saved for one in costs], counted, population
        ) * (1 / PICO)
        money = _with(money, input_, output * (1 / PICO), uncached, _cached_share(answers))
    thought = any(one.usage.reasoning_tokens for one in answers)
    return MeasuredBill(
        prompt=sample.between(
            census.weighed(lambda *_: (1 - share, 0.0)), census.weighed(lambda *_: (1 + share, 0.0))
        )
        + total(lambda one: one.usage.prompt_tokens - one.counted, margin=0),
        completion=total(lambda one: one.usage.completion_tokens),
        reasoning=total(lambda one: one.usage.reasoning_tokens) if thought else None,
        money=money,
    )


def exactly(found: MeasuredBill, tally: Tally, *, own_price: bool) -> MeasuredBill:
    """The same of a finished run, of which only some answers were looked at: by its own sums."""
    money, cost = found.money, tally.cost
    if (
        money is not None
        and cost is not None
        and tally.currency == money.currency
        and not own_price
        and money.total.middle > 0
    ):
        share = cost / money.total.middle
        money = replace(
            money,
            total=Range(cost, cost),
            input=money.input * share,
            output=money.output * share,
            batch=money.batch and money.batch * share,
        )
    return MeasuredBill(
        prompt=Range(tally.prompt_tokens, tally.prompt_tokens),
        completion=Range(tally.completion_tokens, tally.completion_tokens),
        reasoning=found.reasoning and Range(tally.reasoning_tokens, tally.reasoning_tokens),
        money=money,
    )


def latency_of(measured: Measured) -> Latency | None:
    """How long the answers took; None where too few succeeded."""
    found = sorted(one.latency_s for one in measured.answers if one.latency_s is not None)
    if len(found) < 2:
        return None
    return Latency(
        mean=mean_range(found, unseen=float("inf")),
        most_within_s=found[min(len(found) - 1, len(found) * 95 // 100)],
        answers=len(found),
    )


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one answer, in 1e-12 currency units."""

    beside_count: float  # of its prompt, beyond what was counted: below 0 where a cache saved some
    output: float
    saved: float  # of its prompt, by the cache

    @classmethod
    def of(cls, answer: Answer, bills: dict[Kind, Billing], *, as_billed: bool) -> _Cost:
        bill = bills.get(answer.kind) or next(iter(bills.values()))
        assert bill.price is not None  # noqa: S101 - the caller has looked
        usage = answer.usage
        thinking = bill.thinking or usage.reasoning_tokens > 0
        counted = replace(usage, prompt_tokens=answer.counted, cached_tokens=0, completion_tokens=0)
        by_count = cost_pico(counted, bill.price, thinking=thinking)
        input_ = cost_pico(replace(usage, completion_tokens=0), bill.price, thinking=thinking)
        whole = cost_pico(usage, bill.price, thinking=thinking)
        if as_billed and answer.cost_pico is not None:
            whole = answer.cost_pico
        uncached = replace(usage, cached_tokens=0, completion_tokens=0)
        saved = cost_pico(uncached, bill.price, thinking=thinking) - input_
        return cls(input_ - by_count, max(0, whole - input_), saved)


def _with(money: Money, input_: Range, output: Range, uncached: Range, cached: float) -> Money:
    """`uncached`: the input, had the cache saved nothing."""
    total = input_ + output
    return replace(
        money,
        total=total,
        input=input_,
        output=output,
        batch=None if money.batch_share is None else (uncached + output) * money.batch_share,
        cached_found=cached,
    )


def _cached_share(answers: tuple[Answer, ...]) -> float:
    prompts = sum(one.usage.prompt_tokens for one in answers)
    return sum(one.usage.cached_tokens for one in answers) / prompts if prompts else 0.0
