"""What comes after an estimate: the command that really asks, with the same flags."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

# Flags that `generate` does not have, and a yes to the pilot, which is none to all rows.
_ONLY_HERE = frozenset(
    {"output_tokens", "sample", "tokenizer", "price_input", "price_output", "latency", "as_json"}
    | {"pilot", "yes"}
)


def generate_command(ctx: click.Context, dataset: Sequence[str]) -> str:
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
