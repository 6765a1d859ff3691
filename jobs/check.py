"""`penstock check`: key, region, address, model and proxy, with one free call."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from jobs.options import job_options, json_option, merged, settings_of

_SIGNS = {True: "ok", False: "FAILED", None: "note"}


@click.command()
@job_options
@json_option
def check(*, job_file: str | None, providers_file: str | None, as_json: bool, **flags: Any) -> int:
    """Try out key, region, address, proxy and model: one free call, nothing is asked.

    Exit status: 0 all is well, 2 something here is missing, 3 the provider refuses.
    """
    from runner import Job, check_endpoint, run_to_end

    job = Job.build(merged(job_file, settings_of(flags)))
    found = run_to_end(check_endpoint(job, os.environ, providers_file=providers_file))
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
        return found.exit_status
    width = max(len(step.name) for step in found.steps)
    for step in found.steps:
        first, *more = step.text.split("\n")
        print(f"{step.name.ljust(width)}  {_SIGNS[step.ok].ljust(6)}  {first}")
        for line in more:
            print(" " * (width + 10) + line)
    return found.exit_status
