"""`penstock resume`: finish what was interrupted."""

from __future__ import annotations

from typing import Any, Literal

import click

from jobs.options import job_options, json_option, limit_options, merged, quiet_option, settings_of


@click.command()
@click.argument("run")
@click.argument("dataset", nargs=-1)
@click.option(
    "--retry", metavar="KIND,...",
    help="Ask again rows that failed, or whose answer is cut or empty: failed, length, empty or "
    "an error_type. Job flags beside it hold for those rows alone.",
)  # fmt: skip
@click.option(
    "--accept-changes",
    "accept",
    flag_value="changes",
    help="Job, dataset or a damaged part: ask anew what is not as it was answered.",
)
@click.option(
    "--keep-answered",
    "accept",
    flag_value="answered",
    help="Likewise, but every row that has an answer keeps it.",
)
@job_options
@limit_options
@json_option
@quiet_option
def resume(
    *,
    run: str,
    dataset: tuple[str, ...],
    retry: str | None,
    accept: Literal["changes", "answered"] | None,
    job_file: str | None,
    providers_file: str | None,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Go on with RUN, a run folder or the file that -o named; answered rows are not asked again.

    Scope (-n), limits, key, address and streaming may change. DATASET is needed only when the
    files have moved. What else has changed is shown by `penstock plan` and has to be accepted.
    """
    from jobs.as_given import as_given
    from jobs.going import give_back_what_is_freed, go
    from jobs.opening import print_opening
    from jobs.screen import Screen
    from runner import go_on

    screen = Screen(quiet=quiet)
    give_back_what_is_freed()  # a switch of layout reads all answers
    going = go_on(
        run,
        dataset,
        changes=merged(job_file, settings_of(flags)),
        accept=accept,
        retry=[kind for kind in (retry or "").split(",") if kind],
        providers_file=providers_file,
        plan_command=as_given("plan"),
        say=screen.say,
    )
    if not quiet:
        print_opening(going)
    return go(going, screen, as_json=as_json)
