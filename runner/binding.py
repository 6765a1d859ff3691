"""Which limit binds now: what would have to give for the run to go faster?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run's workers stand at one moment. Made by `run`, consumed by `binding`."""

    outage: bool  # the endpoint answers nobody
    at_pace: int  # requests that wait for their slot
    slowed: bool  # the pace is below what was asked for, since throttling was the rule
    at_tokens: bool  # requests wait for tokens of the minute
    at_budget: int  # requests that wait for money or tokens of the run's budget
    idle: int  # workers without a turn
    all_read: bool  # no more rows will come
    parked: int  # turns that wait to be retried
    throttled: bool  # a throttle answer came within the last seconds


def binding(now: Standing) -> str:
    """One of outage, pace, throttled, tokens, budget, workers, reading, none.

    The gates stand one behind the other, and where requests wait at a later one, the earlier ones
    let enough through: so the last one with a line before it binds.
    """
    if now.outage:
        return "outage"
    if now.at_pace:
        return "throttled" if now.slowed else "pace"
    if now.at_tokens:
        return "tokens"
    if now.at_budget:
        return "budget"
    if not now.idle:
        return "workers"
    if now.parked and now.throttled:
        return "throttled"
    return "none" if now.all_read else "reading"
