"""A command line that asks the same of another command, to be pasted."""

from __future__ import annotations

import shlex

import click

# What only one of generate, resume and plan has, or says how it tells rather than what is asked.
_OWN = frozenset(
    {"as_json", "quiet", "verify", "retry", "accept"}
    | {"output", "format", "rehearse", "dry_run", "yes"}
)


def as_given(
    command: str,
    run: str | None = None,
    *,
    leave_out: frozenset[str] = _OWN,
    first_alone: frozenset[str] = frozenset(),
) -> str:
    """`penstock COMMAND` with the arguments and job and limit flags of this command line.

    `run` stands first where this command line has no RUN of its own. `leave_out`: parameters that
    the other command does not have; `first_alone`: those of which it takes only one value.
    """
    context = click.get_current_context()
    arguments = [] if run is None else [shlex.quote(run)]
    flags: list[str] = []
    for one in context.command.params:
        name = one.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if not given or name in leave_out:
            continue
        value = context.params[name]
        values = value if isinstance(value, tuple) else (value,)
        if name in first_alone:
            values = values[:1]
        if isinstance(one, click.Argument):
            arguments += [shlex.quote(text) for text in values]
        elif isinstance(value, bool):
            flags.append(one.opts[-1] if value else one.secondary_opts[-1])
        else:
            flags += [f"{one.opts[-1]} {shlex.quote(_as_typed(text))}" for text in values]
    return " ".join(["penstock", command, *arguments, *flags])


def _as_typed(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
