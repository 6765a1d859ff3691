"""More and fewer workers while they work."""

from __future__ import annotations

import asyncio

from clock import on_fake_clock

from runner.crew import Crew, Place


class Work:
    """Turns of a second each; `busy` says whether they are paid for."""

    def __init__(self, turns: int, *, busy: bool) -> None:
        self.left, self.done, self.cut_off = turns, 0, 0
        self.now = self.most = 0
        self._busy = busy

    async def __call__(self, place: Place) -> None:
        self.now += 1
        try:
            while self.left and not place.leaving:
                self.left -= 1
                self.most = max(self.most, self.now)
                place.busy = self._busy
                await asyncio.sleep(1)
                self.done += 1
                place.busy = False
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.now -= 1


def test_workers_are_as_many_as_wanted_until_the_work_is_done() -> None:
    async def play() -> None:
        work = Work(100, busy=True)
        async with asyncio.TaskGroup() as tasks:
            crew = Crew(tasks, work)
            crew.resize(5)
            waiting = asyncio.create_task(crew.wait())
            await asyncio.sleep(2.5)
            assert work.now == 5
            crew.resize(20)
            await asyncio.sleep(1)
            assert work.now == 20
            await waiting
        assert (work.done, work.now, work.most) == (100, 0, 20)

    on_fake_clock(play)


def test_busy_ones_end_their_turn_before_they_leave() -> None:
    async def play() -> None:
        work = Work(100, busy=True)
        async with asyncio.TaskGroup() as tasks:
            crew = Crew(tasks, work)
            crew.resize(10)
            await asyncio.sleep(0.5)
            crew.resize(3)
            assert work.now == 10
            await asyncio.sleep(1)
            assert (work.now, work.cut_off) == (3, 0)
            crew.resize(1)
            crew.resize(3)  # those who were to leave may stay
            await asyncio.sleep(1)
            assert work.now == 3
            await crew.wait()
        assert work.done == 100

    on_fake_clock(play)


def test_those_who_only_wait_leave_at_once() -> None:
    async def play() -> None:
        work = Work(100, busy=False)
        async with asyncio.TaskGroup() as tasks:
            crew = Crew(tasks, work)
            crew.resize(10)
            await asyncio.sleep(0.5)
            crew.resize(3)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert (work.now, work.cut_off) == (3, 7)
            crew.cancel()
            await crew.wait()
        assert work.now == 0

    on_fake_clock(play)
