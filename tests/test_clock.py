"""The fake clock itself: does time jump, in order, and does a hang show?"""

from __future__ import annotations

import asyncio
import time

import pytest
from clock import FakeClock, Stuck, on_fake_clock, stall


def test_an_hour_takes_no_time() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    started = time.monotonic()
    assert on_fake_clock(work) == pytest.approx(3600, abs=1e-6)
    assert time.monotonic() - started < 5


def test_timers_fire_in_the_order_of_their_moments() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        start, fired = loop.time(), list[float]()

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            fired.append(round(loop.time() - start, 6))

        async with asyncio.TaskGroup() as tasks:
            for seconds in (3, 1, 2, 0.5):
                tasks.create_task(sleep(seconds))
        return fired

    assert on_fake_clock(work) == [0.5, 1, 2, 3]


def test_a_timeout_ends_a_wait_at_its_moment() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await loop.create_future()
        return loop.time() - before

    assert on_fake_clock(work) == pytest.approx(30, abs=1e-6)


def test_everybody_waiting_for_nothing_fails_at_once() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        on_fake_clock(work)


def test_a_stall_makes_timers_late() -> None:
    async def work() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        sleeping = asyncio.create_task(asyncio.sleep(1, start))
        await asyncio.sleep(0.5)
        stall(5)
        await sleeping
        return start, loop.time()

    start, end = on_fake_clock(work)
    assert end - start == pytest.approx(5.5, abs=1e-6)


def test_busy_code_moves_on_to_a_moment_just_ahead() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + 1e-7
        while loop.time() < until:  # noqa: ASYNC110 - a busy loop is what is tested
            await asyncio.sleep(0)

    on_fake_clock(work)


def test_the_clock_does_not_begin_at_zero() -> None:
    loop = FakeClock()
    assert loop.time() > 0
    loop.close()
