"""Does time jump, and does what threads would do happen at once?"""

from __future__ import annotations

import asyncio
import threading

import pytest

from runner.simulated_clock import NothingLeft, run_simulated


def test_a_week_of_waiting_takes_a_week_on_the_clock_and_no_time_here() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        await asyncio.gather(asyncio.sleep(7 * 86400), asyncio.sleep(5))
        return loop.time() - before_s

    assert run_simulated(work) == pytest.approx(7 * 86400, abs=1e-3)


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


def test_a_wait_that_can_never_end_is_an_error_instead_of_a_hang() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingLeft):
        run_simulated(work)
