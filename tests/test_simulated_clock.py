"""Does time jump, in order, does a hang show, and is what threads would do done at once?"""

from __future__ import annotations

import asyncio
import threading

import pytest
from clock import stall

from runner.simulated_clock import NothingLeft, SimulatedClock, run_simulated


def test_a_week_of_waiting_takes_a_week_on_the_clock_and_no_time_here() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        await asyncio.gather(asyncio.sleep(7 * 86400), asyncio.sleep(5))
        return loop.time() - before_s

    assert run_simulated(work) == pytest.approx(7 * 86400, abs=1e-3)


def test_timers_fire_in_the_order_of_their_moments() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        start_s, fired = loop.time(), list[float]()

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            fired.append(round(loop.time() - start_s, 6))

        async with asyncio.TaskGroup() as tasks:
            for seconds in (3, 1, 2, 0.5):
                tasks.create_task(sleep(seconds))
        return fired

    assert run_simulated(work) == [0.5, 1, 2, 3]


def test_a_timeout_ends_a_wait_at_its_moment() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await loop.create_future()
        return loop.time() - before_s

    assert run_simulated(work) == pytest.approx(30, abs=1e-6)


def test_a_wait_that_can_never_end_is_an_error_instead_of_a_hang() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingLeft):
        run_simulated(work)


def test_a_stall_makes_timers_late() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        sleeping = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0.5)
        stall(5)
        await sleeping
        return loop.time() - start_s

    assert run_simulated(work) == pytest.approx(5.5, abs=1e-6)


def test_busy_code_moves_on_to_a_moment_just_ahead() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 1e-7
        while loop.time() < until_s:  # noqa: ASYNC110 - a busy loop is what is tested
            await asyncio.sleep(0)

    run_simulated(work)


def test_the_clock_does_not_begin_at_zero() -> None:
    loop = SimulatedClock()
    assert loop.time() > 0
    loop.close()


def test_what_goes_to_a_thread_is_done_at_once_and_takes_no_time() -> None:
    async def work() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        where = await loop.run_in_executor(None, threading.get_ident)
        return where, loop.time() - before_s

    where, seconds = run_simulated(work)
    assert where == threading.get_ident()
    assert seconds < 1e-6


def test_what_fails_in_a_thread_fails_where_it_is_awaited() -> None:
    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().run_in_executor(None, divmod, 1, 0)

    run_simulated(work)
