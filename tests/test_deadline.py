from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from clock import on_fake_clock

from runner.deadline import is_over, stop_at

if TYPE_CHECKING:
    from runner.errors import BudgetReached

BEGIN = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)


def stops_after_s(deadline: str, *, asleep_s: float = 0.0) -> tuple[float, BudgetReached]:
    """When it stops, on a clock that the event loop drives, and leaps once after five seconds."""

    async def work() -> tuple[float, BudgetReached]:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        stops: list[BudgetReached] = []

        def now() -> datetime:
            passed_s = loop.time() - start_s
            return BEGIN + timedelta(seconds=passed_s + (asleep_s if passed_s > 5 else 0))

        await stop_at(deadline, stops.append, now=now)
        (reason,) = stops
        return loop.time() - start_s, reason

    return on_fake_clock(work)


def test_a_duration_counts_from_the_start() -> None:
    after_s, reason = stops_after_s("1h30m")
    assert after_s == pytest.approx(5400, abs=0.01)
    assert reason.exit_status == 4
    assert str(reason).startswith("the deadline has come (--deadline 1h30m: 2026-11-2")


def test_one_that_has_passed_stops_at_once() -> None:
    after_s, _ = stops_after_s("2026-11-24T13:59:59+00:00")
    assert after_s == 0


def test_the_wall_clock_decides_even_after_a_sleep_of_the_machine() -> None:
    after_s, _ = stops_after_s("1h", asleep_s=7200)
    assert after_s <= 15


def test_only_a_moment_that_has_passed_is_over() -> None:
    assert is_over("2020-01-01T08:00")
    assert not is_over("2h")
    assert not is_over("18:00")
