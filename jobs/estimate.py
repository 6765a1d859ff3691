"""`penstock estimate`: what will it cost, and how long will it take?"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from jobs.default_output import default_output
from jobs.options import (
    job_options_for_models,
    json_option,
    limit_options,
    merged,
    quiet_option,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner import Estimate, Job, Rehearsal, Summary

_PRICE = click.FloatRange(min=0)
_LEAST = 2  # rows of a pilot: one tells nothing of how answers differ
_ANSWERED = frozenset({0, 1})  # exit statuses of a pilot in which every row has its result


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@job_options_for_models
@limit_options
@click.option(
    "--output-tokens",
    metavar="N|LOW:HIGH",
    help="Mean length of an answer in tokens, thinking included; as measured, or as a range.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Count only N rows, spread over the dataset; default: all.",
)
@click.option(
    "--tokenizer",
    metavar="NAME|FILE",
    help="qwen (default), chars (a guess without a vocabulary), tokenizer.json or *.tiktoken.",
)
@click.option("--price-input", type=_PRICE, metavar="X", help="Your price of 1,000,000 tokens in.")
@click.option("--price-output", type=_PRICE, metavar="X", help="Likewise, out.")
@click.option(
    "--latency",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long an answer takes, as measured.",
)
@click.option(
    "--pilot",
    type=click.IntRange(_LEAST),
    metavar="N",
    help="Really ask N rows first, spread over the dataset; they are kept and measured.",
)
@click.option(
    "-o",
    "--output",
    metavar="RUN|FILE",
    help="The pilot's run; without --pilot a run of the same job, whose answers are the measure.",
)
@click.option(
    "--rehearse",
    is_flag=True,
    help="Go through the run on a simulated clock, against the provider's limits; with --pilot: "
    "ask a stand-in server, no key, no bill.",
)
@click.option("--yes", is_flag=True, help="Pilot: do not ask before an expensive one.")
@json_option
@quiet_option
def estimate(
    *,
    dataset: tuple[str, ...],
    models: tuple[str, ...],
    job_file: str | None,
    providers_file: str | None,
    output_tokens: str | None,
    sample: int | None,
    tokenizer: str | None,
    price_input: float | None,
    price_output: float | None,
    latency: float | None,
    pilot: int | None,
    output: str | None,
    rehearse: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """What the job over DATASET will cost and how long it will take. Sends nothing, needs no key.

    Tokens are counted exactly where the model's vocabulary is there; how long answers will be
    nobody knows, so what depends on it is a range that says where it comes from. --pilot N asks N
    rows and knows better; `penstock resume RUN -n all` then goes on with the rest.
    """  # fmt: skip
    from jobs.next_command import generate_command
    from runner import Job, keep_estimate
    from runner import estimate as estimate_job
    from runner import rehearse as rehearse_job

    job = Job.build(merged(job_file, settings_of(flags)))
    _check(models, pilot, output_tokens)
    prices = {"price_input": price_input, "price_output": price_output}
    knows_better: dict[str, Any] = {**prices, "tokenizer": tokenizer, "latency_s": latency}
    measured_run, piloted, rehearsal = output, None, None
    if pilot is not None:
        measured_run = _pilot_run(pilot, dataset, output, rehearse=rehearse)
        piloted = _ask_pilot(
            job, dataset, measured_run, models, rows=pilot, rehearse=rehearse, yes=yes,
            quiet=quiet or as_json, providers_file=providers_file, prices=prices,
        )  # fmt: skip
        if piloted.exit_status not in _ANSWERED:
            if as_json:
                print(json.dumps(piloted.to_json(), ensure_ascii=False))
            return piloted.exit_status or 0
    with _progress("counting tokens", quiet=quiet or as_json) as on_progress:
        found = estimate_job(
            job, dataset, models=models, output_tokens=output_tokens, sample=sample,
            measured_run=measured_run, likely_run=default_output(dataset[0], rehearse=False),
            providers_file=providers_file, on_progress=on_progress, **knows_better,
        )  # fmt: skip
    if rehearse and piloted is None:
        with _progress("rehearsing", quiet=quiet or as_json) as on_progress:
            rehearsal = rehearse_job(
                job, dataset, found, providers_file=providers_file, on_progress=on_progress,
                **knows_better,
            )  # fmt: skip
    next_command = generate_command(found.measured, rehearse=rehearse)
    if piloted is not None and measured_run is not None:
        keep_estimate(measured_run, found, **prices)
        next_command = piloted.next or next_command
    _show(found, rehearsal, piloted, next_command, as_json=as_json)
    return 0 if piloted is None else piloted.exit_status or 0


def _check(models: Sequence[str], pilot: int | None, output_tokens: str | None) -> None:
    """Refuse flags that cannot be meant so."""
    for name in models:
        if "," in name:
            apart = " ".join(f"-m {one}" for one in name.split(",") if one)
            raise click.UsageError(f"-m {name}: one model a flag; repeat it: {apart}")
    if pilot is not None and output_tokens is not None:
        raise click.UsageError(
            f"--output-tokens {output_tokens}: a pilot measures how long answers are; leave one of "
            f"the two away"
        )


def _pilot_run(pilot: int, dataset: Sequence[str], output: str | None, *, rehearse: bool) -> str:
    """Where the pilot's answers are kept."""
    if output is None and not rehearse:
        raise click.UsageError(
            f"--pilot {pilot} asks for real and keeps the answers: say where with -o, for "
            f"example -o {default_output(dataset[0], rehearse=False)}"
        )
    return output or default_output(dataset[0], rehearse=True)


def _ask_pilot(
    job: Job, dataset: Sequence[str], name: str, models: Sequence[str], **how: Any
) -> Summary:
    """Ask the rows, of the first model where several are compared."""
    from jobs.pilot import ask_pilot

    if models:
        job = job.model_copy(update={"model": models[0]})
    return ask_pilot(job, dataset, name, **how)


def _show(
    found: Estimate,
    rehearsal: Rehearsal | None,
    piloted: Summary | None,
    next_command: str,
    *,
    as_json: bool,
) -> None:
    from jobs.estimate_words import report_lines
    from jobs.rehearsal_words import rehearsal_lines

    if as_json:
        more = {} if piloted is None else {"pilot": piloted.to_json()}
        if rehearsal is not None:
            more["rehearsal"] = rehearsal.to_json()
        told = {**found.to_json(), **more, "next": next_command}
        print(json.dumps(told, ensure_ascii=False))
        return
    *lines, last = report_lines(found, next_command)
    if rehearsal is not None:
        lines += [*rehearsal_lines(rehearsal, found), ""]
    print("\n".join([*lines, last]))


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        what, BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=None)
        yield lambda rows, of: bar.update(task, completed=rows, total=of)
