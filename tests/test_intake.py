"""Every turn is handed out as often as it should be, and everyone is told when it is over."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

import pytest
from clock import on_fake_clock

from runner.bill import Bill
from runner.intake import LOW_WATER_ROWS, Intake, Turn
from runner.records import Row


def turns(count: int, start: int = 0) -> list[Turn[None]]:
    return [Turn(Row(index, {}), None, Bill(None)) for index in range(start, start + count)]


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(5):
        await asyncio.sleep(0)


async def take_row(intake: Intake[None]) -> int | None:
    turn = await intake.take()
    return None if turn is None else turn.row.index


def test_rows_come_in_order_and_none_at_the_end() -> None:
    async def work() -> list[int | None]:
        intake: Intake[None] = Intake(most_parked=10)
        intake.add(turns(3))
        intake.end()
        taken = []
        for _ in range(3):
            taken.append(await take_row(intake))
            intake.done()
        return [*taken, await take_row(intake), await take_row(intake)]

    assert on_fake_clock(work) == [0, 1, 2, None, None]


def test_who_is_idle_wakes_when_rows_come() -> None:
    async def work() -> list[int | None]:
        intake: Intake[None] = Intake(most_parked=10)
        idle = [asyncio.create_task(take_row(intake)) for _ in range(5)]
        await settle()
        intake.add(turns(5))
        return list(await asyncio.gather(*idle))

    assert on_fake_clock(work) == [0, 1, 2, 3, 4]


def test_a_parked_turn_comes_back_in_its_time_and_before_new_ones() -> None:
    async def work() -> list[tuple[int | None, float]]:
        intake: Intake[None] = Intake(most_parked=10)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        intake.add(turns(2))
        first = await intake.take()
        assert first is not None
        intake.park(first, 3.0)
        assert intake.parked == 1
        taken = [(await take_row(intake), 0.0)]
        idle = asyncio.create_task(take_row(intake))
        await asyncio.sleep(2.9)
        assert not idle.done()
        taken.append((await idle, round(loop.time() - start_s, 3)))
        second, third = turns(2, start=2)
        intake.park(second, 1.0)
        intake.add([third])
        await asyncio.sleep(1.5)
        return [*taken, (await take_row(intake), 0.0), (await take_row(intake), 0.0)]

    assert on_fake_clock(work) == [(1, 0.0), (0, 3.0), (2, 0.0), (3, 0.0)]


def test_no_new_row_is_begun_while_too_many_are_parked() -> None:
    async def work() -> tuple[bool, int | None, int | None]:
        intake: Intake[None] = Intake(most_parked=2)
        intake.add(turns(4))
        for _ in range(2):
            turn = await intake.take()
            assert turn is not None
            intake.park(turn, 5.0)
        idle = [asyncio.create_task(take_row(intake)) for _ in range(2)]
        await settle()
        held_back = not any(task.done() for task in idle)
        await asyncio.sleep(5)
        rows = await asyncio.gather(*idle)
        return held_back, rows[0], rows[1]

    held_back, first, second = on_fake_clock(work)
    assert held_back
    assert {first, second} == {0, 1}


def test_one_parked_turn_that_comes_back_lets_a_new_row_begin_too() -> None:
    async def work() -> set[int | None]:
        intake: Intake[None] = Intake(most_parked=1)
        intake.add(turns(2))
        turn = await intake.take()
        assert turn is not None
        intake.park(turn, 1.0)
        idle = [asyncio.create_task(take_row(intake)) for _ in range(2)]
        return set(await asyncio.gather(*idle))

    assert on_fake_clock(work) == {0, 1}


def test_the_end_waits_for_turns_that_others_hold() -> None:
    async def work() -> int | None:
        intake: Intake[None] = Intake(most_parked=10)
        intake.add(turns(1))
        intake.end()
        turn = await intake.take()
        assert turn is not None
        waiting = asyncio.create_task(take_row(intake))
        await settle()
        assert not waiting.done()
        assert intake.last_turns == 1
        intake.park(turn, 10.0)
        row = await waiting
        waiting = asyncio.create_task(take_row(intake))
        await settle()
        intake.done()
        assert await waiting is None
        return row

    assert on_fake_clock(work) == 0


def test_an_end_without_rows_ends_everyone() -> None:
    async def work() -> list[int | None]:
        intake: Intake[None] = Intake(most_parked=10)
        idle = [asyncio.create_task(take_row(intake)) for _ in range(3)]
        await settle()
        assert intake.last_turns is None
        intake.end()
        return list(await asyncio.gather(*idle))

    assert on_fake_clock(work) == [None] * 3


def test_close_ends_everyone_whatever_is_left() -> None:
    async def work() -> list[int | None]:
        intake: Intake[None] = Intake(most_parked=1)
        intake.add(turns(1))
        turn = await intake.take()
        assert turn is not None
        idle = [asyncio.create_task(take_row(intake)) for _ in range(3)]
        intake.park(turn, 1.0)
        await asyncio.sleep(0.5)
        reader = asyncio.create_task(intake.wait_hungry())
        intake.close()
        rows = await asyncio.gather(*idle)
        await reader
        await asyncio.sleep(1)  # the parked turn comes back to nobody
        return [*rows, await take_row(intake)]

    assert on_fake_clock(work) == [None] * 4


def test_the_reader_is_asked_for_more_before_the_last_row_is_taken() -> None:
    async def work() -> tuple[bool, int]:
        intake: Intake[None] = Intake(most_parked=10)
        await intake.wait_hungry()
        intake.add(turns(LOW_WATER_ROWS + 100))
        reader = asyncio.create_task(intake.wait_hungry())
        await settle()
        fed = not reader.done()
        taken = 0
        while not reader.done():
            await intake.take()
            taken += 1
            await settle()
        return fed, taken

    fed, taken = on_fake_clock(work)
    assert fed
    assert taken == 101


def test_a_worker_that_is_cancelled_when_just_woken_passes_it_on() -> None:
    async def work() -> int | None:
        intake: Intake[None] = Intake(most_parked=10)
        first = asyncio.create_task(take_row(intake))
        second = asyncio.create_task(take_row(intake))
        await settle()
        intake.add(turns(1))
        first.cancel()
        return await second

    assert on_fake_clock(work) == 0


@dataclass
class Schedule:
    """Workers and a reader that do as chance will have it, and what came of it."""

    chance: random.Random
    rows: int
    workers: int
    most_parked: int

    async def play(self) -> tuple[Counter[int], Counter[int], int]:
        """How often each row was handed out, how often it had to be, and the most parked."""
        intake: Intake[None] = Intake(most_parked=self.most_parked)
        taken, due = Counter[int](), Counter[int]()
        most_parked = 0

        async def read() -> None:
            at = 0
            while at < self.rows:
                await asyncio.sleep(self.chance.choice([0, 0, 0.1, 3]))
                size = min(self.chance.randint(1, 700), self.rows - at)
                intake.add(turns(size, start=at))
                due.update(range(at, at + size))
                at += size
                await intake.wait_hungry()
            await asyncio.sleep(self.chance.choice([0, 10]))
            intake.end()

        async def ask() -> None:
            nonlocal most_parked
            while (turn := await intake.take()) is not None:
                taken[turn.row.index] += 1
                if self.chance.random() < 0.5:
                    await asyncio.sleep(self.chance.choice([0, 0.01, 1]))
                if self.chance.random() < 0.3:
                    due[turn.row.index] += 1
                    intake.park(turn, self.chance.choice([0, 0, 1, 20]))
                    most_parked = max(most_parked, intake.parked)
                else:
                    intake.done()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            for _ in range(self.workers):
                tasks.create_task(ask())
        assert intake.parked == 0
        assert intake.last_turns == 0
        return taken, due, most_parked


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_every_turn_is_handed_out_as_often_as_it_should(seed: int) -> None:
    chance = random.Random(seed)
    schedule = Schedule(
        chance,
        rows=chance.choice([0, 1, 50, 1500]),
        workers=chance.choice([1, 2, 30, 400]),
        most_parked=chance.choice([1, 5, 4000]),
    )
    print(schedule)  # noqa: T201 - shown when it fails
    taken, due, most_parked = on_fake_clock(schedule.play)
    assert taken == due
    # Workers that hold a turn when the bound is reached may still park it.
    assert most_parked <= schedule.most_parked + schedule.workers


def test_thousands_of_workers_end_together() -> None:
    schedule = Schedule(random.Random(99), rows=3000, workers=5000, most_parked=40_000)
    taken, due, _ = on_fake_clock(schedule.play)
    assert taken == due
