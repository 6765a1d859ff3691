"""One timer for many attempts: who is interrupted, and how it looks from inside."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from clock import on_fake_clock, stall

from runner.client.deadlines import Deadlines


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_interrupts_a_block_that_takes_too_long() -> None:
    deadlines = Deadlines(tick_s=0.001)
    with pytest.raises(TimeoutError), deadlines.within(0.005):
        await never()
    deadlines.close()


async def test_leaves_a_block_alone_that_ends_in_time() -> None:
    deadlines = Deadlines(tick_s=0.001)
    with deadlines.within(60):
        await asyncio.sleep(0)
    deadlines.close()


async def test_only_the_late_one_is_interrupted() -> None:
    deadlines = Deadlines(tick_s=0.001)
    waiting = asyncio.Event()

    async def patient() -> str:
        with deadlines.within(60):
            await waiting.wait()
        return "done"

    task = asyncio.create_task(patient())
    with pytest.raises(TimeoutError), deadlines.within(0.005):
        await never()
    waiting.set()
    assert await task == "done"
    deadlines.close()


async def test_a_cancellation_from_outside_stays_one() -> None:
    deadlines = Deadlines(tick_s=0.001)

    async def work() -> None:
        with deadlines.within(60):
            await never()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.close()


async def test_a_cancellation_beside_a_timeout_is_not_lost() -> None:
    deadlines = Deadlines(tick_s=60)
    inside = []

    async def work() -> None:
        with deadlines.within(60) as deadline:
            inside.append(deadline)
            await never()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    inside[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.close()


async def test_an_error_of_the_block_itself_passes() -> None:
    deadlines = Deadlines(tick_s=60)
    with pytest.raises(KeyError), deadlines.within(60):
        raise KeyError
    deadlines.close()


async def test_a_deadline_can_be_moved_but_not_past_its_end() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(tick_s=60)
    with deadlines.within(5) as deadline:
        end_s = loop.time() + 100
        deadline.allow(50, until_s=end_s)
        assert deadline.due_s == pytest.approx(loop.time() + 50, abs=1)
        deadline.allow(500, until_s=end_s)
        assert deadline.due_s == end_s
    deadlines.close()


def test_a_process_that_stood_still_gives_attempts_a_fresh_look_and_no_more() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(tick_s=1)
        ended_s: list[float] = []

        async def ask(timeout_s: float) -> None:
            with suppress(TimeoutError), deadlines.within(timeout_s):
                await never()
            ended_s.append(loop.time())

        tasks = [asyncio.create_task(ask(timeout_s)) for timeout_s in (60, 7200)]
        await asyncio.sleep(30)
        began_s = loop.time() - 30
        stall(3600)
        await asyncio.gather(*tasks)
        return [at - began_s for at in ended_s]

    assert on_fake_clock(work) == [pytest.approx(3640, abs=2), pytest.approx(7200, abs=2)]


def test_the_end_that_no_move_may_pass_is_later_by_the_time_that_was_lost() -> None:
    async def work() -> tuple[bool, float, bool]:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(tick_s=1)
        with deadlines.within(60) as deadline:
            end_s = loop.time() + 100
            await asyncio.sleep(5)
            stall(3600)
            await asyncio.sleep(2)
            early = deadline.allow(50, until_s=end_s)
            left_s = deadline.due_s - loop.time()
            late = deadline.allow(500, until_s=end_s)
        deadlines.close()
        return early, left_s, late

    early, left_s, late = on_fake_clock(work)
    assert (early, late) == (False, True)
    assert left_s == pytest.approx(50)


def test_a_busy_loop_is_no_process_that_stood_still() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(tick_s=1)
        began_s = loop.time()

        async def ask() -> float:
            with suppress(TimeoutError), deadlines.within(10):
                await never()
            return loop.time() - began_s

        task = asyncio.create_task(ask())
        await asyncio.sleep(5)
        stall(6)
        return await task

    assert on_fake_clock(work) == pytest.approx(11, abs=1)


async def test_the_timer_rests_when_nothing_is_on_its_way() -> None:
    deadlines = Deadlines(tick_s=0.001)
    with pytest.raises(TimeoutError), deadlines.within(0.005):
        await never()
    # A second one starts it again.
    with pytest.raises(TimeoutError), deadlines.within(0.005):
        await never()
    deadlines.close()
