"""`penstock plan`: what a resume would reuse, ask anew, and why."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from jobs.options import job_options, json_option, limit_options, merged, settings_of


@click.command()
@click.argument("run")
@click.argument("dataset", nargs=-1)
@job_options
@limit_options
@click.option(
    "--verify", is_flag=True,
    help="Read every part and journal line, and compare them with their checksums.",
)  # fmt: skip
@json_option
def plan(
    *,
    run: str,
    dataset: tuple[str, ...],
    job_file: str | None,
    providers_file: str | None,
    verify: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Show what `penstock resume` with the same arguments would do; nothing is sent or written.

    Answers are reused where the very same request would be sent. Needs no key, and works while the
    run goes on. The exit status is 5 where something that was kept is damaged.
    """
    from jobs.as_given import as_given
    from runner import plan as plan_resume

    changes = merged(job_file, settings_of(flags))
    found = plan_resume(run, dataset, changes=changes, verify=verify, providers_file=providers_file)
    scope = ["-n all"] if found.pilot else []
    following = " ".join([as_given("resume"), *scope, *found.flags[:1]])
    if not found.flags and found.pending == 0:
        following = f"penstock show {shlex.quote(run)}"
    status = 5 if found.damaged or found.damaged_lines else 0
    if as_json:
        print(json.dumps({**found.to_json(), "next": following}, ensure_ascii=False))
        return status
    for line in found.lines():
        print(line)
    if verify and not (found.damaged or found.damaged_lines):
        print("  verified  every part and journal line is what was written")
    print(f"  next      {following}")
    return status
