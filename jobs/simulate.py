"""`penstock simulate`: the stand-in server, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.words import counted

if TYPE_CHECKING:
    from asyncio import Event

    from runner import SimulatorSettings

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--qps", type=_POSITIVE, help="Requests let in in any second; fractions allowed.")
@click.option("--rpm", type=_POSITIVE, help="Requests let in in any 60 seconds.")
@click.option("--tpm", type=click.IntRange(1), help="Tokens in any 60 seconds, input and output.")
@click.option(
    "--growth",
    type=_POSITIVE,
    help="Throttle a second with more requests than this many times the mean of the 10 s before.",
)
@click.option(
    "--latency", metavar="SECONDS", default="0", help="Time to answer: 0.05, or a range 0.05:0.2."
)
@click.option(
    "--errors",
    metavar="NAME=SHARE,...",
    default="",
    help="Shares of attempts that go wrong: 429=0.05,500=0.01,drop=0.01.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of answers and errors.")
@click.option("--scenario", metavar="FILE", help="TOML: which error for which request.")
@click.option("--log", "log_path", metavar="FILE", help="Append one JSON line per request.")
@click.option("--key", help="Accept only this made-up key; default: any that is not empty.")
@click.option("--models", metavar="NAME,...", default="", help="Known models; default: all.")
@click.option("--list-errors", is_flag=True, help="Print the names for --errors and --scenario.")
@click.option("--quiet", is_flag=True, help="Print nothing but the address.")
def simulate(*, list_errors: bool, quiet: bool, **flags: Any) -> None:
    """Answer like the provider, without a model, a key or a bill.

    Prints its address, then serves until Ctrl-C or SIGTERM. GET /_stats tells what it has seen.
    """
    if list_errors:
        _print_errors()
        return
    import gc

    from runner import run_to_end

    # Else looking through all that was imported makes it deaf for tens of milliseconds at a time.
    gc.freeze()
    run_to_end(_serve(_settings(**flags), quiet=quiet))


def _settings(
    *,
    latency: str,
    errors: str,
    scenario: str | None,
    log_path: str | None,
    models: str,
    **rest: Any,
) -> SimulatorSettings:
    from runner import simulator

    return simulator.SimulatorSettings(
        latency_s=simulator.parse_latency(latency),
        errors=simulator.parse_errors(errors),
        scenario=simulator.Scenario.load(scenario) if scenario else simulator.NO_RULES,
        log_path=Path(log_path) if log_path else None,
        models=tuple(name.strip() for name in models.split(",") if name.strip()),
        **rest,
    )


def _print_errors() -> None:
    from runner import simulator

    for name, line in simulator.error_lines().items():
        said = line.message.strip() or line.how
        print(f"{name:28}{line.status or '-':>4}  {line.code:28}{said[:80]}".rstrip())


async def _serve(settings: SimulatorSettings, *, quiet: bool) -> None:
    import asyncio
    import signal

    from runner import simulator

    stop = asyncio.Event()
    previous = _on_stop(stop)
    try:
        async with simulator.serve(settings) as server:
            print(f"Listening on {server.base_url}", flush=True)
            if not quiet:
                print(_promise(settings), file=sys.stderr, flush=True)
            await stop.wait()
            if not quiet:
                print(_closing(server.stats()), file=sys.stderr, flush=True)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _on_stop(stop: Event) -> dict[int, Any]:
    """Set `stop` on Ctrl-C and SIGTERM; the handlers that were there before."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()

    def ask(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    # signal.signal, not the loop's handlers: Windows' loops have none.
    return {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}


def _promise(settings: SimulatorSettings) -> str:
    """What it will do, in a few words."""
    limits = [
        f"{value:g} {unit}"
        for value, unit in (
            (settings.qps, "requests/s"),
            (settings.rpm, "requests/min"),
            (settings.tpm, "tokens/min"),
            (settings.growth, "times growth"),
        )
        if value is not None
    ]
    errors = [f"{share:g} {name}" for name, share in settings.errors]
    low, high = settings.latency_s
    return "; ".join(
        (
            f"Limits: {', '.join(limits) or 'none'}",
            f"errors: {', '.join(errors) or 'none'}",
            f"scenario rules: {len(settings.scenario.rules)}",
            f"latency: {low:g} s" if low == high else f"latency: {low:g} to {high:g} s",
            f"seed: {settings.seed}. Ctrl-C stops it.",
        )
    )


def _closing(stats: dict[str, Any]) -> str:
    statuses = ", ".join(f"{count} x {status}" for status, count in stats["by_status"].items())
    used = "".join(f", {share:.1%} of {name}" for name, share in stats["share_used"].items())
    return (
        f"Stopped. {counted(stats['requests'], 'request')} ({statuses or 'none'}), "
        f"{stats['distinct_bodies']} distinct, {stats['answered_again']} answered more than once; "
        f"most in 1 s {stats['largest_1s']:,}, in 60 s "
        f"{counted(stats['largest_60s'], 'request')} and "
        f"{counted(stats['largest_60s_tokens'], 'token')}{used}; "
        f"billed {stats['prompt_tokens']:,} + {counted(stats['completion_tokens'], 'token')}."
    )
