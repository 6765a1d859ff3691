"""`penstock control`: other limits for a run that is going on."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from jobs.options import json_option


@click.command()
@click.argument("run")
@click.argument("changes", nargs=-1, metavar="qps=20 | rpm=600 | tpm=100000 | concurrency=64 | "
                "pause | continue ...")  # fmt: skip
@json_option
def control(*, run: str, changes: tuple[str, ...], as_json: bool) -> int:
    """Change the limits of RUN while it goes on, within a second.

    qps and rpm both set the pace; none lifts it, and tpm. A pause sends nothing new and lets the
    replies on their way land; --deadline goes on meanwhile. The changes hold for this process: a
    resume starts from its own flags.
    """
    from runner import parse_wanted, run_folder_of, send_order, wait_until_taken

    wanted = parse_wanted(changes)
    folder, _ = run_folder_of(run)
    folder.read_run()  # tells where there is no run
    summary = wait_until_taken(folder, send_order(folder, wanted, run))
    limits = summary.limits or {}
    if as_json:
        print(json.dumps({"run": run, "state": summary.state, "limits": limits}))
    else:
        print(f"{run}: {summary.state}; {holding(limits)}", file=sys.stderr)
    return 0


def holding(limits: dict[str, Any]) -> str:
    """The limits that hold, in words."""
    qps, tpm = limits.get("qps"), limits.get("tpm")
    return ", ".join(
        (
            "no pace" if qps is None else f"pace {qps:,g} requests/s",
            "no token limit" if tpm is None else f"{tpm:,} tokens a minute",
            f"{limits.get('concurrency')} workers",
        )
    )
