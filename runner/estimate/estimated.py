"""What does a census come to? Tokens, money and time, for each model that is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.estimate.cost_forecast import Billing, Money, forecast_cost
from runner.estimate.measured_bill import bill_by, latency_of
from runner.estimate.output_length import joined_sources, output_length
from runner.estimate.prompt_reading import Kind
from runner.estimate.ranges import Range
from runner.estimate.time_forecast import Course, Load, forecast_time
from runner.pacing import choose_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.estimate.measured import Measured
    from runner.estimate.prompt_census import Census
    from runner.estimate.row_sample import Sample
    from runner.preflight import Preflight
    from runner.providers import ModelFacts, Price
    from runner.row_ids import DoubleIds
    from runner.tally import Failure

_GRID_TOKENS = 1000
_LONGEST_TOKENS = 1_000_000
_WHOLE = 1.0
# A pilot's range that is wider than the first is worth asking more rows, until it is the second.
_WIDE, _NARROW = 2.0, 1.5


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """One model's answer to the question; several stand side by side."""

    model: str  # or "each row's own", where the rows name theirs
    region: str | None
    exact: bool  # whether prompt tokens are counted with the model's own vocabulary
    error_share: float  # by which share of itself a count may be off
    prompt_tokens: Range
    completion_tokens: Range  # thinking included
    reasoning_tokens: Range | None  # the part spent on thinking; None: none, or not told apart
    output_per_request: Range
    output_source: str
    output_assumed: bool
    money: Money | None  # None: the price is unknown, which is not free
    time: Course
    done: float  # requests that have their answer already, part of the figures but of the time
    to_pay: Range | None  # money for the rest; None: unknown, or all is to be paid
    too_long: int  # requests longer than the model takes; these will fail
    wider_pilot: int | None  # rows that would narrow the range; None: it is narrow, or no pilot's
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every figure."""
        unpriced = {"cost": None, "currency": None}
        return {
            "model": self.model,
            "region": self.region,
            "tokens_exact": self.exact,
            "tokens_error_share": self.error_share,
            "prompt_tokens": self.prompt_tokens.to_json(),
            "completion_tokens": self.completion_tokens.to_json(),
            "reasoning_tokens": self.reasoning_tokens and self.reasoning_tokens.to_json(),
            "output_per_request": self.output_per_request.to_json(1),
            "output_source": self.output_source,
            "output_assumed": self.output_assumed,
            **(self.money.to_json() if self.money is not None else unpriced),
            **self.time.to_json(),
            "requests_done": round(self.done),
            "cost_to_pay": self.to_pay and self.to_pay.to_json(9),
            "too_long": self.too_long,
            "wider_pilot": self.wider_pilot,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take. Made by `estimate` and `first_look`, shown by the commands."""

    dataset: tuple[str, ...]
    rows: int  # in scope
    rows_exact: bool  # False: guessed from the size of a text file
    counted_rows: int
    sample: str | None  # which rows were counted, in words; None: all
    sample_small: bool  # whether these are too few to tell well how far they mislead
    requests: float  # rows that will be sent
    unsent: dict[str, Failure]  # counted rows that fail before anything is sent, by error_type
    tokenizer: str
    longest_prompt: int  # tokens, of the rows counted
    inexact: dict[str, int]  # counted requests with parts whose tokens are not published
    models: tuple[ModelEstimate, ...]
    measured: Measured | None = None  # answers that the figures rest on; None: none
    double_ids: DoubleIds | None = None  # None: all are different, or not looked at

    def to_json(self) -> dict[str, Any]:
        """Every figure, JSON-ready."""
        return {
            "dataset": list(self.dataset),
            "rows": self.rows,
            "rows_exact": self.rows_exact,
            "counted_rows": self.counted_rows,
            "sample": self.sample,
            "sample_small": self.sample_small,
            "requests": round(self.requests),
            "unsent": {
                kind: {"rows": one.count, "first_row": one.row, "message": one.message}
                for kind, one in sorted(self.unsent.items())
            },
            "tokenizer": self.tokenizer,
            "longest_prompt": self.longest_prompt,
            "inexact": self.inexact,
            "double_ids": self.double_ids and self.double_ids.to_json(),
            "measured": self.measured and self.measured.to_json(),
            "models": [model.to_json() for model in self.models],
        }


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the person who asks knows better than the tables. Made by `estimate`."""

    output_tokens: Range | None = None
    price: Price | None = None
    latency_s: float | None = None
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One of the models to be compared. Made by `estimate` and `first_look`."""

    model: str | None  # None: whatever each row names
    facts: ModelFacts  # of the job's model where `model` is None
    exact: bool
    error_share: float
    tokenizer: str  # its name


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
        found = _by_ranges(census, sample, bills, view.error_share)
        done = 0.0
    else:
        found = _by_answers(measured, census, sample, bills, view, assumptions)
        own = view.model in {None, measured.model}
        done = min(found.requests, measured.done) if own else 0.0
    left = 1 - done / max(1.0, found.requests)
    return ModelEstimate(
        model=view.model or "each row's own",
        region=flight.endpoint.region,
        exact=view.exact and not census.inexact,
        error_share=0.0 if measured is not None and measured.of_dataset else view.error_share,
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
        to_pay=_to_pay(found.money, measured) if done else None,
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


@dataclass(frozen=True, slots=True)
class _Found:
    """Tokens and money of all requests, and what they rest on."""

    requests: float
    prompt: Range
    completion: Range
    reasoning: Range | None
    money: Money | None
    source: str
    assumed: bool


def _by_ranges(census: Census, sample: Sample, bills: dict[Kind, Billing], share: float) -> _Found:
    """By what is known of answers' lengths beforehand."""
    outputs = [bill.output for bill in bills.values()]
    return _Found(
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


def _by_answers(
    measured: Measured,
    census: Census,
    sample: Sample,
    bills: dict[Kind, Billing],
    view: View,
    assumptions: Assumptions,
) -> _Found:
    """By answers that are there."""
    same_model = view.model in {None, measured.model}
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
    if same_model and measured.done >= requests:
        made_up = ", made up by the stand-in server" if measured.rehearsal else ""
        source = f"as billed: all answers are in {measured.run}{made_up}"
    other = f"; {view.model} may answer at another length than {measured.model} did"
    return _Found(
        requests=requests,
        prompt=found.prompt,
        completion=found.completion,
        reasoning=found.reasoning,
        money=found.money,
        source=source + ("" if same_model else other),
        assumed=not same_model,
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
    if money is None or measured is None or not measured.of_dataset:
        return None
    if measured.paid is None or measured.currency not in {None, money.currency}:
        return None
    paid = measured.paid
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


def _too_long(census: Census, sample: Sample, max_prompt_tokens: int | None) -> int:
    if max_prompt_tokens is None:
        return 0
    beyond = [
        cell.requests
        for cell in census.cells.values()
        if cell.tokens / cell.requests > max_prompt_tokens
    ]
    return round(sample.scaled(sum(beyond)))


def bounds_of(views: Sequence[View]) -> tuple[int, ...]:
    """The prompt lengths at which a price changes, also where counts are off; and a grid.

    Every price known so far is met exactly. Of models that only the rows name, tiers at round
    thousands are, as all published ones have them.
    """
    bounds = set(range(_GRID_TOKENS, _LONGEST_TOKENS + 1, _GRID_TOKENS))
    for view in views:
        steps = [tier.up_to for tier in view.facts.price.tiers] if view.facts.price else []
        for step in (*steps, view.facts.max_prompt_tokens):
            if step is not None:
                factors = (1 - view.error_share, 1.0, 1 + view.error_share)
                bounds |= {int(step / factor) for factor in factors}
    return tuple(sorted(bounds))
