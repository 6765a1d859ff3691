"""What will a job cost, and how long will it take? The first stations of a row's way, and sums.

Nothing is sent and no key is needed. `counting` takes the census of all prompts (`prompt_census`),
`output_length` says how long answers may be, `cost_forecast` and `time_forecast` do the sums, and
`estimated` puts them together.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from runner.errors import JobError
from runner.estimate.counting import Plan, count_prompts
from runner.estimate.estimated import Assumptions, View, bounds_of, sum_up
from runner.estimate.output_length import parse_output_tokens
from runner.estimate.row_sample import Sample, count_rows, spread_evenly
from runner.preflight import Preflight, prepare
from runner.providers import Price, Tier
from runner.tokens import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.estimate.estimated import Estimate
    from runner.estimate.prompt_census import Census
    from runner.job import Job

    OnProgress = Callable[[int, int | None], None]  # rows counted, of how many (None: unknown)


def estimate(
    job: Job,
    paths: Sequence[str],
    *,
    models: Sequence[str] = (),
    output_tokens: str | None = None,
    sample: int | None = None,
    tokenizer: str | None = None,
    price_input: float | None = None,
    price_output: float | None = None,
    latency_s: float | None = None,
    providers_file: str | None = None,
    on_progress: OnProgress | None = None,
) -> Estimate:
    """What `job` over the dataset in `paths` will cost and how long it will take; sends nothing.

    `models` are compared side by side; without them it is the job's own. `output_tokens` is the
    mean length of an answer, "120" or "50:400". `sample` counts only so many rows, spread evenly.
    `tokenizer` is a name or a file, as `load_tokenizer` takes it. Prices are of 1,000,000 tokens.
    Blocking: counts on every core. Raises JobError, DatasetError and MachineFault.
    """
    if models:
        job = job.model_copy(update={"model": models[0]})
    flight = prepare(job, paths, providers_file=providers_file)
    assumptions = Assumptions(
        output_tokens=parse_output_tokens(output_tokens) if output_tokens else None,
        price=_own_price(price_input, price_output, flight),
        latency_s=latency_s,
    )
    views = _views(flight, models or [flight.facts.name], tokenizer)
    plan = Plan(flight.job, tuple(paths), providers_file, tokenizer, bounds_of(views))
    census, rows = _count(flight, plan, sample, on_progress or _unheard)
    if not models:
        views = _own_views(flight, census, tokenizer)
    looked_at = Sample(census.rows, rows)
    place = None if looked_at.is_whole else f"{census.rows:,} rows, spread evenly"
    return sum_up(flight, census, looked_at, views, assumptions, place=place)


def _views(flight: Preflight, models: Sequence[str], tokenizer: str | None) -> list[View]:
    """The models to compare. Loading a vocabulary again costs nothing."""
    views = []
    for name in dict.fromkeys(models):
        facts = flight.facts_of(name)
        loaded = load_tokenizer(tokenizer, family=facts.tokenizer)
        views.append(View(name, facts, loaded.exact, loaded.error_share, loaded.name))
    return views


def _own_views(flight: Preflight, census: Census, tokenizer: str | None) -> list[View]:
    """The one view of a job: its model, or those that a `body` column's requests name."""
    named = sorted({kind.model for kind, _ in census.cells}) or [flight.facts.name]
    views = _views(flight, named, tokenizer)
    if len(views) == 1:
        return views
    doubtful = max(views, key=lambda view: view.error_share)
    return [replace(doubtful, model=None, facts=flight.facts)]


def _count(
    flight: Preflight, plan: Plan, sample: int | None, on_progress: OnProgress
) -> tuple[Census, int]:
    """The census, and how many rows it stands for."""
    dataset, rows = flight.dataset, flight.rows
    spans = [range(flight.end if flight.end is not None else sys.maxsize)]
    if sample is not None:
        rows = min(count_rows(dataset), flight.job.first or sys.maxsize)
        spans = spread_evenly(rows, sample)
    expected = rows if rows is None else sum(map(len, spans))
    batches = dataset.batches(columns=flight.template.columns, keep=(), spans=spans)
    share = expected / dataset.total_rows if expected and dataset.total_rows else 1.0
    census = count_prompts(
        plan,
        batches,
        text_bytes=dataset.total_bytes * share,
        on_rows=lambda counted: on_progress(counted, expected),
    )
    return census, census.rows if sample is None or rows is None else rows


def _own_price(
    price_input: float | None, price_output: float | None, flight: Preflight
) -> Price | None:
    if price_input is None and price_output is None:
        return None
    if price_input is None or price_output is None:
        missing = "--price-input" if price_input is None else "--price-output"
        raise JobError(f"{missing} is missing; a price of your own needs both sides")
    input_, output = Decimal(str(price_input)), Decimal(str(price_output))
    return Price(
        currency=flight.endpoint.currency or "",
        tiers=(Tier(None, input_, output, output),),
        as_of="this command",
        source="--price-input and --price-output",
    )


def _unheard(counted: int, of: int | None) -> None:
    del counted, of
