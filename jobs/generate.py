"""`penstock generate`: the main job."""

from __future__ import annotations

from typing import Any

import click

from jobs.default_output import default_output
from jobs.options import (
    format_option,
    job_options,
    json_option,
    limit_options,
    merged,
    quiet_option,
    settings_of,
)


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="RUN|FILE",
    help="Run folder, or one .csv, .jsonl or .parquet file; default: DATASET.answers.*",
)  # fmt: skip
@job_options
@limit_options
@format_option
@click.option("--rehearse", is_flag=True, help="Ask a stand-in server: no key, no bill.")
@click.option("--dry-run", is_flag=True, help="Read and render everything; send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before an expensive run.")
@json_option
@quiet_option
def generate(
    *,
    dataset: tuple[str, ...],
    output: str | None,
    job_file: str | None,
    providers_file: str | None,
    rehearse: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Ask the model for every row of DATASET: Parquet, CSV or JSONL files, folders or globs.

    Repeating the command goes on with the same run. -n 5 asks five rows first; then
    `penstock resume RUN -n all`.
    """
    from jobs.as_given import as_given
    from jobs.consent import ask_before_paying
    from jobs.going import go
    from jobs.opening import print_opening
    from jobs.screen import Screen
    from runner import Job, begin

    job = Job.build(merged(job_file, settings_of(flags)))
    if dry_run:
        from jobs.dry_run import show_dry_run

        return show_dry_run(
            job, dataset, providers_file=providers_file, as_json=as_json, quiet=quiet
        )
    screen = Screen(quiet=quiet)
    name = output or default_output(dataset[0], rehearse=rehearse)
    run = begin(
        job,
        dataset,
        name,
        rehearsal=rehearse,
        providers_file=providers_file,
        plan_command=as_given("plan", name),
        say=screen.say,
    )
    if not quiet:
        print_opening(run)
    found = ask_before_paying(run, yes=yes, quiet=quiet)
    if found is not None:
        run.expect(found)
    return go(run, screen, as_json=as_json)
