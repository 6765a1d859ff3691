"""What will a job cost, and how long will it take? The first stations of a row's way, and sums.

Nothing is sent and no key is needed. `counting` takes the census of all prompts (`prompt_census`),
`output_length` says how long answers may be, `cost_forecast` and `time_forecast` do the sums, and
`sum_up` puts them together.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.counted import counted
from runner.errors import JobError
from runner.estimate.counting import Plan, count_prompts
from runner.estimate.measured import LEAST, differences, measure
from runner.estimate.output_length import parse_output_tokens
from runner.estimate.own_price import own_price
from runner.estimate.row_sample import Sample, count_rows, spread_evenly
from runner.estimate.sum_up import sum_up
from runner.estimate.views import Assumptions, View, bounds_of
from runner.folder import run_folder_of
from runner.preflight import Preflight, prepare
from runner.row_ids import SeenIds, noting_ids
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
    measured_run: str | None = None,
    likely_run: str | None = None,
    providers_file: str | None = None,
    on_progress: OnProgress | None = None,
) -> Estimate:
    """What `job` over the dataset in `paths` will cost and how long it will take; sends nothing.

    `models` are compared side by side; without them it is the job's own. `output_tokens` is the
    mean length of an answer, "120" or "50:400". `sample` counts only so many rows, spread evenly.
    `tokenizer` is a name or a file, as `load_tokenizer` takes it. Prices are of 1,000,000 tokens.
    `measured_run` is a run whose answers tell how long answers are and how long they take: a pilot,
    or any other of the same job. `likely_run` is the same where it happens to be there and of this
    job, and else passed over.
    Blocking: counts on every core. Raises JobError, DatasetError and MachineFault.
    """
    if models:
        job = job.model_copy(update={"model": models[0]})
    flight = prepare(job, paths, providers_file=providers_file)
    if measured_run is not None and output_tokens is not None:
        raise JobError(
            f"--output-tokens {output_tokens}: the answers in {measured_run} tell how long answers "
            f"are; leave one of the two away"
        )
    assumptions = Assumptions(
        output_tokens=parse_output_tokens(output_tokens) if output_tokens else None,
        price=own_price(price_input, price_output, flight),
        latency_s=latency_s,
    )
    run = _run_to_measure(flight, measured_run, None if output_tokens else likely_run)
    views = _views(flight, models or [flight.facts.name], tokenizer)
    plan = Plan(flight.job, tuple(paths), providers_file, tokenizer, bounds_of(views))
    seen = None
    if sample is None and flight.job.id_column is not None:
        seen = SeenIds(flight.job.id_column)
    census, rows = _count(flight, plan, sample, on_progress or _unheard, seen)
    if not models:
        views = _own_views(flight, census, tokenizer)
    looked_at = Sample(census.rows, rows)
    if run is not None:
        measured = measure(run, flight, plan.begin())
        if measured is None and measured_run is not None:
            raise JobError(
                f"{measured_run} has fewer than {LEAST} answers, which measure nothing yet; "
                f"--pilot 100 asks for some"
            )
        assumptions = replace(assumptions, measured=measured)
    place = None if looked_at.is_whole else f"{counted(census.rows, 'row')}, spread evenly"
    found = sum_up(flight, census, looked_at, views, assumptions, place=place)
    return found if seen is None else replace(found, double_ids=seen.doubles())


def _run_to_measure(flight: Preflight, named: str | None, likely: str | None) -> str | None:
    """The run whose answers hold. Raises JobError and RunFolderError for one that is no use."""
    if named is not None:
        folder, _ = run_folder_of(named)
        other = differences(folder.read_run(), flight.job)
        if other:
            raise JobError(
                f"-o {named}: its answers are of another job (another {', another '.join(other)}) "
                f"and tell nothing of this one's; name another run, or leave -o away"
            )
        return named
    if likely is None or not run_folder_of(likely)[0].exists():
        return None
    run = run_folder_of(likely)[0].read_run()
    return None if run.rehearsal or differences(run, flight.job) else likely


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
    flight: Preflight,
    plan: Plan,
    sample: int | None,
    on_progress: OnProgress,
    seen: SeenIds | None,
) -> tuple[Census, int]:
    """The census, and how many rows it stands for."""
    dataset, rows = flight.dataset, flight.rows
    spans = [range(flight.end if flight.end is not None else sys.maxsize)]
    if sample is not None:
        rows = min(count_rows(dataset), flight.job.first or sys.maxsize)
        if sample < LEAST and rows > sample:
            raise JobError(
                f"--sample {sample}: one row tells nothing of how rows differ; --sample 1000 does"
            )
        spans = spread_evenly(rows, sample)
    expected = rows if rows is None else sum(map(len, spans))
    columns = flight.template.columns
    if seen is not None:
        columns |= {seen.column}
    batches = dataset.batches(columns=columns, keep=(), spans=spans)
    share = expected / dataset.total_rows if expected and dataset.total_rows else 1.0
    census = count_prompts(
        plan,
        batches if seen is None else noting_ids(batches, seen, flight.template.columns),
        text_bytes=dataset.total_bytes * share,
        on_rows=lambda counted: on_progress(counted, expected),
    )
    return census, census.rows if sample is None or rows is None else rows


def _unheard(counted: int, of: int | None) -> None:
    del counted, of
