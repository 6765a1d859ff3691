"""How long will it take? Which limit binds, and how many requests in flight that needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.estimate.ranges import Range
from runner.limits import RAMP_FROM, RAMP_S, SHARE

if TYPE_CHECKING:
    from runner.pacing import ChosenLimits

# From the request to an answer's first token, and tokens per second from there on: assumptions
# that the busiest and the quietest hours of hosted models rarely leave.
_FIRST_TOKEN_S = Range(0.3, 3.0)
_TOKENS_PER_S = Range(20, 120)
_COMPARED_PER_S = (5.0, 20.0)
_UNBOUND = 10**12  # workers, where these are not what is asked about


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be done. Made by `estimate`."""

    requests: float
    tokens: Range  # input and output, of all requests together
    answer_tokens: Range  # of one answer, thinking included


@dataclass(frozen=True, slots=True)
class Pace:
    """The run with --qps at one number, workers sufficing: at that pace from the first second."""

    per_second: float
    label: str  # where the number comes from
    seconds: Range
    binding: tuple[str, ...]  # at the short end and the long: requests or tokens
    in_flight: Range  # requests that this takes (Little's law)
    above_limit: bool  # whether the account's known limit is lower

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "requests_per_s": self.per_second,
            "label": self.label,
            "time_s": self.seconds.to_json(1),
            "binding": list(self.binding),
            "in_flight": self.in_flight.to_json(),
            "above_account_limit": self.above_limit,
        }


@dataclass(frozen=True, slots=True)
class Course:
    """The run under its own limits."""

    seconds: Range
    binding: tuple[str, ...]  # at the short end and the long: requests, tokens or workers
    latency: Range  # seconds for one answer
    latency_source: str
    in_flight: Range  # requests that the pace takes (Little's law)
    workers: int  # requests that may be in flight
    climbs: bool  # whether the first minute climbs to the pace, as to one that nobody set
    notes: tuple[str, ...]  # the limits, and where they came from
    paces: tuple[Pace, ...]  # the same run at other paces

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "time_s": self.seconds.to_json(1),
            "binding": list(self.binding),
            "latency_s": self.latency.to_json(2),
            "latency_source": self.latency_source,
            "in_flight": self.in_flight.to_json(),
            "workers": self.workers,
            "climbs": self.climbs,
            "limits": list(self.notes),
            "paces": [pace.to_json() for pace in self.paces],
        }


class _End(NamedTuple):
    sending_s: float  # from the first request to the last
    latency_s: float  # and then its answer
    binding: str  # what keeps it from being shorter

    @property
    def seconds(self) -> float:
        return self.sending_s + self.latency_s


def forecast_time(
    load: Load,
    limits: ChosenLimits,
    *,
    account_per_s: float | None,
    measured: tuple[Range, str] | None,
) -> Course:
    """The run's course under `limits`; throttling and failures of the provider come on top.

    `account_per_s`: the account's own limit in requests per second, None where unknown.
    `measured`: seconds for one answer and who says so; None: nobody does.
    """
    latency, source = measured or _assumed_latency(load)
    low, high = _ends(load, limits, latency)
    compared = dict.fromkeys(_COMPARED_PER_S, "for comparison")
    if account_per_s is not None:
        compared[account_per_s] = "the account's limit"
    return Course(
        seconds=Range(low.seconds, high.seconds),
        binding=_both(low, high),
        latency=latency,
        latency_source=source,
        in_flight=_in_flight(load, replace(limits, workers=_UNBOUND), latency),
        workers=limits.most_workers,
        climbs=limits.ramp and bool(limits.per_second),
        notes=limits.notes,
        paces=tuple(
            _pace(load, per_second, label, limits, latency, account_per_s)
            for per_second, label in sorted(compared.items())
        ),
    )


def answer_seconds(tokens: float) -> float:
    """How long an answer of so many tokens takes, in the middle of what is assumed."""
    return _FIRST_TOKEN_S.middle + tokens / _TOKENS_PER_S.middle


def _pace(
    load: Load,
    per_second: float,
    label: str,
    limits: ChosenLimits,
    latency: Range,
    account_per_s: float | None,
) -> Pace:
    limits = replace(limits, per_second=per_second, ramp=False, workers=_UNBOUND)
    low, high = _ends(load, limits, latency)
    return Pace(
        per_second=per_second,
        label=label,
        seconds=Range(low.seconds, high.seconds),
        binding=_both(low, high),
        in_flight=_in_flight(load, limits, latency),
        above_limit=account_per_s is not None and per_second > account_per_s,
    )


def _assumed_latency(load: Load) -> tuple[Range, str]:
    latency = Range(
        _FIRST_TOKEN_S.low + load.answer_tokens.low / _TOKENS_PER_S.high,
        _FIRST_TOKEN_S.high + load.answer_tokens.high / _TOKENS_PER_S.low,
    )
    return latency, (
        f"assumed: first token after {_FIRST_TOKEN_S.low:g} to {_FIRST_TOKEN_S.high:g} s, then "
        f"{_TOKENS_PER_S.high:g} to {_TOKENS_PER_S.low:g} tokens/s; --latency says better"
    )


def _ends(load: Load, limits: ChosenLimits, latency: Range) -> tuple[_End, _End]:
    """The run at its shortest and at its longest."""
    return (
        _end(load.requests, load.tokens.low, limits, latency.low),
        _end(load.requests, load.tokens.high, limits, latency.high),
    )


def _end(requests: float, tokens: float, limits: ChosenLimits, latency_s: float) -> _End:
    # The first ones leave at once, as many as there are workers.
    times = {"workers": max(0.0, requests / limits.most_workers - 1) * latency_s}
    if limits.tokens_per_minute:
        times["tokens"] = tokens / (limits.tokens_per_minute * SHARE / 60)
    if limits.per_second:
        times["requests"] = _paced_s(requests, limits.per_second * SHARE, ramp=limits.ramp)
    binding = max(times, key=lambda name: times[name])
    return _End(times[binding], latency_s, binding)


def _paced_s(requests: float, per_second: float, *, ramp: bool) -> float:
    """When the last request leaves; with `ramp` the pace climbs evenly in the first minute."""
    if not ramp:
        return requests / per_second
    climbing = per_second * RAMP_S * (1 + RAMP_FROM) / 2
    if requests >= climbing:
        return RAMP_S + (requests - climbing) / per_second
    # requests = pace (from t + (1 - from) t^2 / 2 minutes), solved for t
    slope = (1 - RAMP_FROM) / RAMP_S
    root = math.sqrt(RAMP_FROM**2 + 2 * slope * requests / per_second)
    return (root - RAMP_FROM) / slope


def _in_flight(load: Load, limits: ChosenLimits, latency: Range) -> Range:
    """Little's law: requests in flight = requests per second x seconds that each takes."""
    if limits.per_second is None and not limits.tokens_per_minute:
        return Range(0, 0)  # nothing paces the run, so any number will do
    flying = [
        math.ceil(min(load.requests, load.requests * end.latency_s / max(end.sending_s, 1e-9)))
        for end in _ends(load, limits, latency)
    ]
    return Range(min(flying), max(flying))


def _both(low: _End, high: _End) -> tuple[str, ...]:
    return (low.binding,) if low.binding == high.binding else (low.binding, high.binding)
