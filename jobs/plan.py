"""`penstock plan`: what a resume would reuse, ask anew, and why."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from jobs.options import job_options, json_option, limit_options, merged, settings_of

_OWN = frozenset({"as_json", "verify"})  # flags that a resume does not have


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
    from runner import plan as plan_resume

    changes = merged(job_file, settings_of(flags))
    found = plan_resume(run, dataset, changes=changes, verify=verify, providers_file=providers_file)
    scope = ["-n all"] if found.pilot else []
    following = " ".join(["penstock resume", *_as_given(), *scope, *found.flags[:1]])
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


def _as_given() -> list[str]:
    """The arguments and flags of this command line that a resume has too."""
    context = click.get_current_context()
    arguments: list[str] = []
    flags: list[str] = []
    for one in context.command.params:
        if context.get_parameter_source(one.name or "") != click.core.ParameterSource.COMMANDLINE:
            continue
        value = context.params[one.name or ""]
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(one, click.Argument):
            arguments += [shlex.quote(text) for text in values]
        elif isinstance(value, bool):
            name = one.opts[0] if value else one.secondary_opts[0]
            flags += [name] if one.name not in _OWN else []
        else:
            flags += [f"{one.opts[-1]} {shlex.quote(str(text))}" for text in values]
    return [*arguments, *flags]
