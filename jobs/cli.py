"""Assembles the commands; imports nothing heavy, so that `penstock --help` is instant."""

from __future__ import annotations

import gc
import json
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

# In the order in which a person meets them. The text stands here, not in the modules, so that
# listing the commands loads none of them.
COMMANDS = {
    "generate": "Ask the model for every row of a dataset.",
    "resume": "Go on with a run that stopped, or ask failed rows again.",
    "plan": "What a resume would reuse, ask anew, and why; sends nothing.",
    "estimate": "What a job will cost and how long it will take; sends nothing.",
    "check": "Try key, region, address and model with one free call.",
    "status": "What is done, spent and pending, also while a run goes on.",
    "show": "Requests as sent and their answers, row by row.",
    "control": "Another pace, pause or continue, while a run goes on.",
    "export": "One .parquet, .csv or .jsonl of a run's rows, in order.",
    "simulate": "The stand-in server, to try everything without a key.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"jobs.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - each module defines its command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            near = get_close_matches(name, COMMANDS, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            ctx.fail(f"no such command '{name}'{meant} There are: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, param: click.Parameter, value: object) -> None:
    del param
    if value:
        from importlib.metadata import version

        click.echo(f"penstock {version('penstock')}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
def penstock() -> None:
    """Ask a chat completions API for every row of a dataset, as fast as its limits allow.

    Every answer is paid for once, none is lost to a crash, and one output row comes out for every
    input row, in order. `penstock COMMAND --help` tells more.
    """


# New objects before the collector looks for cycles, of which rows and results have none: at
# Python's own 700 it takes 5 % of a run's time.
_COLLECT_AFTER = 10_000
# Arrow's own choice, mimalloc, keeps what was freed: 40 MB more at a run's peak, no faster here.
# Arrow reads the variable when it is imported; what the user has set there holds.
_ARROW_POOL = ("ARROW_DEFAULT_MEMORY_POOL", "system")


def main() -> None:
    """The `penstock` command."""
    gc.set_threshold(_COLLECT_AFTER)
    os.environ.setdefault(*_ARROW_POOL)
    sys.exit(run_command(lambda: penstock.main(standalone_mode=False)))


def run_command(command: Callable[[], object]) -> int:
    """The exit status of a command; what it raises becomes a message on stderr."""
    try:
        status = command()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("penstock: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `penstock show RUN | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        # Imported only now: a command that raised it has loaded the engine anyway.
        from runner import StopsRun

        if not isinstance(error, StopsRun):
            raise
        print(f"penstock: {error}", file=sys.stderr)
        if "--json" in sys.argv:
            said = {"state": "refused", "message": str(error), "exit_status": error.exit_status}
            print(json.dumps(said, ensure_ascii=False))
        return error.exit_status
    return status if isinstance(status, int) else 0
