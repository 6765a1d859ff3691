"""Every knob of the stand-in server, with its unit and default, and how its flags are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import JobError
from runner.simulator.error_lines import line_named
from runner.simulator.model import tokens_by_bytes
from runner.simulator.scenario import NO_RULES, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """What the stand-in server does. Made by `penstock simulate`, `--rehearse` and tests."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    qps: float | None = None  # requests let in in any second, per model; fractions allowed
    rpm: float | None = None  # requests let in in any 60 s, per model
    tpm: int | None = None  # tokens settled in any 60 s, input and output, per model
    growth: float | None = None  # a second's requests over the mean of the ten before; above: burst
    latency_s: tuple[float, float] = (0.0, 0.0)  # from, to; drawn evenly per attempt
    errors: tuple[tuple[str, float], ...] = ()  # error line, share of attempts
    seed: int = 0  # of answers, errors and latencies
    scenario: Scenario = NO_RULES
    log_path: Path | None = None  # JSON lines, one a request
    key: str | None = field(default=None, repr=False)  # None: any key that is not empty
    models: tuple[str, ...] = ()  # known ones; none: every model is known
    count_tokens: Callable[[str], int] = tokens_by_bytes  # an exact tokenizer may stand in


def parse_latency(text: str) -> tuple[float, float]:
    """`0.05` or `0.05:0.2`, seconds. Raises JobError naming the flag."""
    low, _, high = text.partition(":")
    try:
        span = float(low), float(high or low)
    except ValueError:
        span = -1.0, -1.0
    if not 0 <= span[0] <= span[1] < float("inf"):
        raise JobError(f"--latency {text}: give seconds (0.05) or a range of them (0.05:0.2)")
    return span


def parse_errors(text: str) -> tuple[tuple[str, float], ...]:
    """`429=0.05,drop=0.01` as (error line, share) pairs.

    A name is an HTTP status or a line of `error_lines.toml`. Raises JobError naming the flag.
    """
    pairs: list[tuple[str, float]] = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = item.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise JobError(f"--errors {item}: write NAME=SHARE with a share from 0 to 1: 429=0.05")
        pairs.append((line_named(name.strip(), where="--errors").name, value))
    if sum(share for _, share in pairs) > 1:
        raise JobError(f"--errors {text}: the shares add up to more than 1")
    return tuple(pairs)
