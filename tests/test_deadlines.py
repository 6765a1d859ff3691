"""One timer for many attempts: who is interrupted, and how it looks from inside."""

from __future__ import annotations

import asyncio

import pytest

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


async def test_the_timer_rests_when_nothing_is_on_its_way() -> None:
    deadlines = Deadlines(tick_s=0.001)
    with pytest.raises(TimeoutError), deadlines.within(0.005):
        await never()
    # A second one starts it again.
    with pytest.raises(TimeoutError), deadlines.within(0.005):
        await never()
    deadlines.close()
