"""Which limit binds, a line of the table each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.binding import Standing, binding

# Every worker has a request on its way, nobody waits.
BUSY = Standing(
    outage=False, at_pace=0, slowed=False, at_tokens=False, at_budget=0, idle=0, all_read=False,
    parked=0, throttled=False,
)  # fmt: skip
IDLE = replace(BUSY, idle=3)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (BUSY, "workers"),
        (replace(BUSY, parked=900, throttled=True), "workers"),
        (replace(BUSY, at_pace=1), "pace"),
        (replace(IDLE, at_pace=1), "pace"),
        (replace(BUSY, at_pace=1, slowed=True), "throttled"),
        (replace(BUSY, slowed=True), "workers"),
        (replace(BUSY, at_tokens=True), "tokens"),
        (replace(BUSY, at_tokens=True, at_pace=2), "pace"),
        (replace(BUSY, at_budget=5), "budget"),
        (replace(BUSY, at_budget=5, at_tokens=True), "tokens"),
        (IDLE, "reading"),
        (replace(IDLE, all_read=True), "none"),
        (replace(IDLE, parked=4), "reading"),
        (replace(IDLE, parked=4, throttled=True), "throttled"),
        (replace(IDLE, parked=4, throttled=True, all_read=True), "throttled"),
        (replace(IDLE, parked=4, all_read=True), "none"),
        (replace(BUSY, outage=True, at_pace=3), "outage"),
        (replace(IDLE, outage=True), "outage"),
    ],
)
def test_the_last_gate_with_a_line_before_it_binds(now: Standing, expected: str) -> None:
    assert binding(now) == expected
