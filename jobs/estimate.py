"""`penstock estimate`: what will it cost, and how long will it take?"""

from __future__ import annotations

import json
import shlex
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

    from runner import Job, Summary

_PRICE = click.FloatRange(min=0)
_LEAST = 2  # rows of a pilot: one tells nothing of how answers differ
_ANSWERED = frozenset({0, 1})  # exit statuses of a pilot in which every row has its result
# Flags of this command that `generate` does not have.
_ONLY_HERE = frozenset(
    {"output_tokens", "sample", "tokenizer", "price_input", "price_output", "latency", "as_json"}
    | {"rehearse", "pilot"}
)


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
@click.pass_context
def estimate(
    ctx: click.Context,
    /,
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
    from jobs.estimate_words import report_lines
    from jobs.rehearsal_words import rehearsal_lines
    from runner import Job, keep_estimate
    from runner import estimate as estimate_job
    from runner import rehearse as rehearse_job

    job = Job.build(merged(job_file, settings_of(flags)))
    measured_run, piloted, rehearsal = output, None, None
    if pilot is not None:
        if output is None and not rehearse:
            raise click.UsageError(
                f"--pilot {pilot} asks for real and keeps the answers: say where with -o, for "
                f"example -o {default_output(dataset[0], rehearse=False)}"
            )
        measured_run = output or default_output(dataset[0], rehearse=True)
        piloted = _pilot(
            job,
            dataset,
            measured_run,
            models,
            pilot,
            output_tokens,
            rehearse=rehearse,
            yes=yes,
            quiet=quiet or as_json,
            providers_file=providers_file,
            prices={"price_input": price_input, "price_output": price_output},
        )
        if piloted.exit_status not in _ANSWERED:
            if as_json:
                print(json.dumps(piloted.to_json(), ensure_ascii=False))
            return piloted.exit_status or 0
    with _progress("counting tokens", quiet=quiet or as_json) as on_progress:
        found = estimate_job(
            job,
            dataset,
            models=models,
            output_tokens=output_tokens,
            sample=sample,
            tokenizer=tokenizer,
            price_input=price_input,
            price_output=price_output,
            latency_s=latency,
            measured_run=measured_run,
            likely_run=default_output(dataset[0], rehearse=False),
            providers_file=providers_file,
            on_progress=on_progress,
        )
    if rehearse and piloted is None:
        with _progress("rehearsing", quiet=quiet or as_json) as on_progress:
            rehearsal = rehearse_job(
                job,
                dataset,
                found,
                tokenizer=tokenizer,
                price_input=price_input,
                price_output=price_output,
                latency_s=latency,
                providers_file=providers_file,
                on_progress=on_progress,
            )
    next_command = _generate_command(ctx, dataset)
    more: dict[str, Any] = {}
    if piloted is not None and measured_run is not None:
        keep_estimate(measured_run, found)
        next_command = piloted.next or next_command
        more["pilot"] = piloted.to_json()
    status = 0 if piloted is None else piloted.exit_status or 0
    if as_json:
        rehearsed = {} if rehearsal is None else {"rehearsal": rehearsal.to_json()}
        told = {**found.to_json(), **more, **rehearsed, "next": next_command}
        print(json.dumps(told, ensure_ascii=False))
        return status
    *lines, last = report_lines(found, next_command)
    if rehearsal is not None:
        lines += [*rehearsal_lines(rehearsal, found), ""]
    print("\n".join([*lines, last]))
    return status


def _pilot(
    job: Job,
    dataset: Sequence[str],
    name: str,
    models: Sequence[str],
    rows: int,
    output_tokens: str | None,
    **how: Any,
) -> Summary:
    """Ask the rows, of the first model where several are compared."""
    from jobs.pilot import ask_pilot

    if output_tokens is not None:
        raise click.UsageError(
            f"--output-tokens {output_tokens}: a pilot measures how long answers are; leave one of "
            f"the two away"
        )
    if models:
        job = job.model_copy(update={"model": models[0]})
    return ask_pilot(job, dataset, name, rows=rows, **how)


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


def _generate_command(ctx: click.Context, dataset: Sequence[str]) -> str:
    """`penstock generate` with the same dataset and flags; of several models with the first."""
    words = ["penstock", "generate", *dataset]
    for option in ctx.command.params:
        name = option.name or ""
        given = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if not given or not isinstance(option, click.Option) or name in _ONLY_HERE:
            continue
        value = ctx.params[name]
        if option.is_flag:
            words.append(option.opts[-1] if value else option.secondary_opts[-1])
        elif name == "models":
            words += [option.opts[-1], value[0]]
        else:
            for one in value if option.multiple else [value]:
                words += [option.opts[-1], _as_typed(one)]
    return shlex.join(words)


def _as_typed(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
