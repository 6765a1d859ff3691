"""A pace is a promise about every second, counted as a server would count."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest
from clock import on_fake_clock, stall
from windows import most_in_a_second

from runner.limits.pace import CATCH_UP_S, RAMP_FROM, RAMP_S, SHARE, WHOLE, Pace
from runner.records import Part
from runner.simulator import SimulatorSettings
from runner.simulator.limits import Gate

RATES = [0.2, 0.5, 3, 20, 100, 1000, 5000]
SPAN_S = 30.0


class Spy:
    """Passes a pace with many workers and notes when each was let through, from 0 on."""

    def __init__(self, pace: Pace) -> None:
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self.pace = pace
        self.passed_s: list[float] = []

    @property
    def now_s(self) -> float:
        return self._loop.time() - self._start_s

    async def keep_passing(self, until_s: float) -> None:
        while True:
            await self.pace.wait()
            self.pace.left()
            if self.now_s >= until_s:
                return
            self.passed_s.append(self.now_s)

    async def crowd(self, workers: int, until_s: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(self.keep_passing(until_s))

    @property
    def moments_s(self) -> list[float]:
        """When each was let through, on the clock of all."""
        return [self._start_s + passed_s for passed_s in self.passed_s]

    def within(self, start_s: float, stop_s: float) -> int:
        return sum(start_s <= moment_s < stop_s for moment_s in self.passed_s)


@pytest.mark.parametrize("per_second", RATES)
@pytest.mark.parametrize("workers", [1, 40])
def test_no_second_is_above_the_limit_and_nearly_all_of_it_is_used(
    per_second: float, workers: int
) -> None:
    async def work() -> list[float]:
        spy = Spy(Pace(per_second))
        await spy.crowd(workers, SPAN_S)
        return spy.passed_s

    passed_s = on_fake_clock(work)
    # A limit below one a second lets one in now and then.
    assert most_in_a_second(passed_s) <= max(1, per_second)
    allowed = per_second * SPAN_S
    assert len(passed_s) >= (0.98 * allowed if per_second >= 10 else int(allowed) - 1)


@pytest.mark.parametrize("seed", [5])
@pytest.mark.parametrize("per_second", [20, 1000, 5000])
def test_holds_with_late_timers_too(per_second: float, seed: int) -> None:
    async def work() -> list[float]:
        chance = random.Random(seed)
        spy = Spy(Pace(per_second))
        crowd = asyncio.create_task(spy.crowd(40, SPAN_S))
        while not crowd.done():
            await asyncio.sleep(chance.uniform(0, 0.01))
            stall(chance.uniform(0, 0.004))  # other callbacks, a garbage collection
        return spy.passed_s

    passed_s = on_fake_clock(work)
    assert most_in_a_second(passed_s) <= per_second * 1.01 + 1
    assert len(passed_s) >= 0.98 * per_second * SPAN_S


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("per_second", RATES)
def test_a_server_that_throttles_at_exactly_that_limit_hardly_ever_does(
    per_second: float, seed: int
) -> None:
    async def work() -> list[float]:
        spy = Spy(Pace(per_second))
        await spy.crowd(40, SPAN_S)
        return spy.passed_s

    chance = random.Random(seed)
    passed_s = on_fake_clock(work)
    gate = Gate(SimulatorSettings(qps=per_second))
    on_the_way = sorted(moment_s + chance.uniform(0.001, 0.004) for moment_s in passed_s)
    refused = sum(gate.admit(moment_s, 0) is not None for moment_s in on_the_way)
    assert refused <= len(passed_s) / 1000


@pytest.mark.parametrize("per_second", RATES)
def test_nothing_is_saved_up_while_idle(per_second: float) -> None:
    async def work() -> list[float]:
        spy = Spy(Pace(per_second))
        await asyncio.sleep(100)
        await spy.crowd(40, 110)
        return spy.passed_s

    assert most_in_a_second(on_fake_clock(work)) <= max(1, per_second)


@pytest.mark.parametrize("per_second", [3, 100, 1000, 5000])
def test_a_stalled_process_makes_up_for_milliseconds_only(per_second: float) -> None:
    async def work() -> tuple[int, int]:
        spy = Spy(Pace(per_second))
        crowd = asyncio.create_task(spy.crowd(40, 20))
        await asyncio.sleep(5)
        stall(5)
        await asyncio.sleep(0.0005)
        at_once = spy.within(9.9, 10.1)
        await crowd
        return at_once, most_in_a_second(spy.passed_s)

    at_once, fullest = on_fake_clock(work)
    assert at_once <= per_second * CATCH_UP_S + 1
    assert fullest <= per_second * 1.01 + 1


class Line:
    """The way from a pace to a server: connections that take their time, a network, a stalled loop.

    `workers` take slots without end, and open a connection each at first.
    """

    def __init__(self, pace: Pace, *, seed: int, connect_s: float, way_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = random.Random(seed)
        self._pace = pace
        self._connect_s = connect_s
        self._way_s = way_s
        self._held_until_s = 0.0
        self.left_s: list[float] = []
        self.arrived_s: list[float] = []

    async def work(self) -> None:
        chance, connects = self._chance, True
        while True:
            await self._pace.wait()
            if connects or chance.random() < 0.002:  # the server closes one now and then
                await asyncio.sleep(self._connect_s * chance.uniform(0.5, 1))
            if chance.random() < 0.001:  # and now and then one cannot be opened
                self._pace.stayed()
                continue
            connects = False
            await asyncio.sleep(0)  # other callbacks come first: here a stall is worst
            if self._held_until_s > self._loop.time():
                await asyncio.sleep(self._held_until_s - self._loop.time())
            self._pace.left()
            self.left_s.append(self._loop.time())
            self.arrived_s.append(self._loop.time() + chance.uniform(0, self._way_s))
            await asyncio.sleep(chance.uniform(0.05, 0.2))  # until the answer is there

    async def go(self, workers: int, *, stalls_s: tuple[float, float], every_s: float) -> None:
        crowd = [asyncio.create_task(self.work()) for _ in range(workers)]
        until_s = self._loop.time() + SPAN_S
        while self._loop.time() < until_s:
            await asyncio.sleep(self._chance.uniform(0, 2 * every_s))
            if stalls_s[1]:
                stall(self._chance.uniform(*stalls_s))
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    async def hold_up(self) -> None:
        """Now and then let nothing out for a while, and then all of it at once."""
        while True:
            await asyncio.sleep(self._chance.uniform(0, 1))
            self._held_until_s = self._loop.time() + self._chance.uniform(0.005, 0.2)


def play(per_second: float, *, seed: int, stalls_s: tuple[float, float], connect_s: float) -> Line:
    async def work() -> Line:
        line = Line(Pace(per_second), seed=seed, connect_s=connect_s, way_s=0.005)
        await line.go(max(4, round(per_second / 2)), stalls_s=stalls_s, every_s=0.5)
        return line

    return on_fake_clock(work)


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("per_second", [0.5, 3, 20, 100, 1000])
def test_stalls_and_new_connections_put_no_more_than_the_limit_into_any_second(
    per_second: float, seed: int
) -> None:
    line = play(per_second, seed=seed, stalls_s=(0.005, 0.2), connect_s=0.3)
    assert most_in_a_second(line.left_s) <= max(1, per_second)
    arrived_s = sorted(line.arrived_s)
    assert most_in_a_second(arrived_s) <= per_second * 1.01 + 1
    gate = Gate(SimulatorSettings(qps=per_second))
    refused = sum(gate.admit(at_s, 0) is not None for at_s in arrived_s)
    assert refused <= len(arrived_s) / 1000


@pytest.mark.parametrize("per_second", [3, 20, 100, 1000])
def test_a_loop_that_is_late_by_little_uses_nearly_all_from_the_first_second_on(
    per_second: float,
) -> None:
    line = play(per_second, seed=14, stalls_s=(0.0, 0.006), connect_s=0.02)
    allowed = per_second * SPAN_S
    assert len(line.left_s) >= (0.98 * allowed if per_second >= 10 else int(allowed) - 1)
    assert most_in_a_second(line.left_s) <= per_second


def test_who_does_not_leave_keeps_no_place_once_that_is_said() -> None:
    async def work() -> tuple[int, int]:
        pace, passed = Pace(2), list[int]()

        async def pass_as(number: int) -> None:
            await pace.wait()
            passed.append(number)

        crowd = [asyncio.create_task(pass_as(number)) for number in range(5)]
        await asyncio.sleep(10)
        before = len(passed)  # two a second may be on their way out, and have not been heard of
        pace.stayed()
        pace.stayed()
        await asyncio.sleep(1.1)
        after = len(passed)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        return before, after

    assert on_fake_clock(work) == (2, 4)


def test_first_come_first_served() -> None:
    async def work() -> list[int]:
        pace, order = Pace(10), list[int]()

        async def pass_as(name: int) -> None:
            await pace.wait()
            pace.left()
            order.append(name)

        async with asyncio.TaskGroup() as tasks:
            for name in range(50):
                tasks.create_task(pass_as(name))
                await asyncio.sleep(0.01)
        return order

    assert on_fake_clock(work) == list(range(50))


def test_who_gives_up_waiting_takes_no_slot_and_keeps_nobody_back() -> None:
    async def work() -> list[tuple[int, float]]:
        pace, loop = Pace(10), asyncio.get_running_loop()
        start, passed = loop.time(), list[tuple[int, float]]()

        async def pass_as(name: int) -> None:
            await pace.wait()
            pace.left()
            passed.append((name, loop.time() - start))

        tasks = [asyncio.create_task(pass_as(name)) for name in range(30)]
        await asyncio.sleep(0.25)
        for name in range(30):
            if name % 3:
                tasks[name].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return passed

    passed = on_fake_clock(work)
    late = [name for name, _ in passed if name > 2]
    assert late == [name for name in range(3, 30) if name % 3 == 0]
    steps = [b[1] - a[1] for a, b in pairwise(passed)]
    assert max(steps) == pytest.approx(1 / (10 * SHARE), rel=0.02)


def test_a_retry_waits_in_line() -> None:
    async def work() -> list[str]:
        pace, order = Pace(10), list[str]()

        async def pass_as(name: str) -> None:
            await pace.wait()
            pace.left()
            order.append(name)

        async def twice(name: str) -> None:
            await pass_as(name)
            await asyncio.sleep(0)  # the attempt itself
            await pass_as(f"{name} again")

        async with asyncio.TaskGroup() as tasks:
            for name in "abc":
                tasks.create_task(twice(name))
        return order

    assert on_fake_clock(work) == ["a", "b", "c", "a again", "b again", "c again"]


@pytest.mark.parametrize("per_second", [2, 100])
def test_a_ramp_climbs_from_a_tenth_to_the_whole_in_a_minute(per_second: float) -> None:
    async def work() -> Spy:
        await asyncio.sleep(500)  # it begins with the first request, not before
        pace = Pace(per_second, ramp=True)
        await asyncio.sleep(500)
        spy = Spy(pace)
        await spy.crowd(20, 120)
        return spy

    spy = on_fake_clock(work)
    whole = per_second * SHARE
    for start_s in range(0, 60, 10):
        share = RAMP_FROM + (1 - RAMP_FROM) * (start_s + 5) / RAMP_S
        assert spy.within(start_s, start_s + 10) == pytest.approx(whole * share * 10, abs=2)
    assert spy.within(60, 120) == pytest.approx(whole * 60, abs=2)
    assert spy.pace.share == 1
    assert spy.pace.climb_left_s == 0


def test_a_pause_holds_for_everyone_and_the_climb_after_it_never_passes_the_whole() -> None:
    async def work() -> Spy:
        spy = Spy(Pace(100))
        crowd = asyncio.create_task(spy.crowd(40, 40))
        await asyncio.sleep(10)
        spy.pace.climb_from(0.7, 20, after_s=1)
        await asyncio.sleep(0)
        assert spy.pace.share == pytest.approx(0.7)
        await crowd
        return spy

    spy = on_fake_clock(work)
    assert spy.within(10.001, 11) == 0
    assert spy.within(11, 13) == pytest.approx(2 * 0.715 * 99, abs=2)
    assert spy.within(29, 31) == pytest.approx(2 * 0.9925 * 99, abs=2)
    assert most_in_a_second(spy.passed_s) <= 100


def test_a_climb_can_be_cut_short() -> None:
    async def work() -> Spy:
        spy = Spy(Pace(100))
        crowd = asyncio.create_task(spy.crowd(40, 20))
        await asyncio.sleep(5)
        spy.pace.climb_from(0.01, 600)
        await asyncio.sleep(5)
        spy.pace.climb_from(1, 0)
        await crowd
        return spy

    spy = on_fake_clock(work)
    assert spy.within(5, 10) < 20
    assert spy.within(10, 20) == pytest.approx(990, abs=2)


@pytest.mark.parametrize(("before", "after"), [(100, 20), (20, 100), (0.2, 50), (500, 0.5)])
@pytest.mark.parametrize("workers", [1, 40])
def test_a_changed_rate_holds_from_then_on(before: float, after: float, workers: int) -> None:
    async def work() -> Spy:
        spy = Spy(Pace(before))
        crowd = asyncio.create_task(spy.crowd(workers, 40))
        await asyncio.sleep(20)
        spy.pace.set_rate(after, WHOLE)
        spy.pace.set_rate(after, WHOLE)
        await crowd
        return spy

    spy = on_fake_clock(work)
    since = [moment_s for moment_s in spy.passed_s if moment_s >= 20]
    assert most_in_a_second(spy.passed_s) <= max(1, before, after)
    assert most_in_a_second(since) <= max(1, after)
    assert len(since) >= (0.98 * after * 20 if after >= 10 else int(after * 20) - 1)


def test_a_rate_that_changes_all_the_time_neither_bursts_nor_starves() -> None:
    async def work() -> Spy:
        spy = Spy(Pace(50))
        crowd = asyncio.create_task(spy.crowd(40, 30))
        for beat in range(300):
            await asyncio.sleep(0.1)
            spy.pace.set_rate((50, 10, 30)[beat % 3], WHOLE)
        await crowd
        return spy

    spy = on_fake_clock(work)
    assert len(spy.passed_s) == pytest.approx(30 * 30 * SHARE, abs=3)
    assert most_in_a_second(spy.passed_s) <= 35


def test_a_pause_and_a_climb_outlast_a_change_of_rate() -> None:
    async def work() -> Spy:
        spy = Spy(Pace(10))
        crowd = asyncio.create_task(spy.crowd(40, 40))
        await asyncio.sleep(10)
        spy.pace.climb_from(0.5, 20, after_s=1)
        await asyncio.sleep(0.5)
        spy.pace.set_rate(100, WHOLE)
        assert spy.pace.share == pytest.approx(0.5)
        await crowd
        return spy

    spy = on_fake_clock(work)
    assert spy.within(10.001, 11) == 0
    assert spy.within(11, 13) == pytest.approx(2 * 0.525 * 99, abs=2)
    assert spy.within(31, 40) == pytest.approx(9 * 99, abs=2)
    assert most_in_a_second(spy.passed_s) <= 100


@pytest.mark.parametrize("per_second", [1, 5, 50, 1000])
@pytest.mark.parametrize("runs", [2, 3, 4, 7])
@pytest.mark.parametrize("workers", [1, 40])
def test_runs_that_share_a_rate_hold_it_together_and_use_it_evenly(
    per_second: float, runs: int, workers: int
) -> None:
    async def work() -> list[Spy]:
        chance, spies = random.Random(6), list[Spy]()
        async with asyncio.TaskGroup() as tasks:
            for place in range(runs):
                spies.append(Spy(Pace(per_second)))
                spies[-1].pace.set_rate(per_second, Part(place, runs))
                await asyncio.sleep(chance.uniform(0, 0.1))
                tasks.create_task(spies[-1].crowd(workers, SPAN_S))
            for _ in range(200):
                await asyncio.sleep(chance.uniform(0, 2 * SPAN_S / 200))
                stall(chance.uniform(0, 0.01))
        return spies

    spies = on_fake_clock(work)
    together = sorted(moment_s for spy in spies for moment_s in spy.moments_s)
    assert most_in_a_second(together) <= max(1, per_second * 1.01 + 1)
    for spy in spies:
        # Each of them lets the window pass that others may have filled before.
        fair = per_second * (SPAN_S - 1) / runs
        assert 0.98 * fair - 2 <= len(spy.passed_s) <= fair + 1


@pytest.mark.parametrize("seed", [21, 22, 23, 24])
@pytest.mark.parametrize("per_second", [50, 400])
def test_runs_that_come_and_go_with_stalls_of_their_own_hold_a_rate_together(
    per_second: float, seed: int
) -> None:
    """As `sharing` has it: who was there makes room first, and a newcomer begins after that."""

    async def work() -> list[Line]:
        chance, tasks = random.Random(seed), list[asyncio.Task[None]]()
        paces = [Pace(per_second) for _ in range(3)]
        lines = [
            Line(pace, seed=seed + place, connect_s=0.1, way_s=0.0)
            for place, pace in enumerate(paces)
        ]

        def begin(place: int) -> None:
            tasks.append(asyncio.create_task(lines[place].hold_up()))
            for _ in range(round(per_second / 2)):
                tasks.append(asyncio.create_task(lines[place].work()))

        for runs in (1, 2, 3):
            for place in range(runs):
                await asyncio.sleep(chance.uniform(0, 0.5))  # each at a beat of its own
                paces[place].set_rate(per_second, Part(place, runs))
            begin(runs - 1)
            await asyncio.sleep(10)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return lines

    lines = on_fake_clock(work)
    together = sorted(moment_s for line in lines for moment_s in line.left_s)
    assert most_in_a_second(together) <= per_second * 1.01 + 1
    assert len(together) >= 0.85 * per_second * 30  # somebody was held up most of the time


def test_the_survivor_of_two_takes_it_all_without_a_burst() -> None:
    async def work() -> tuple[Spy, Spy]:
        one, other = Spy(Pace(50)), Spy(Pace(50))
        for place, spy in enumerate((one, other)):
            spy.pace.set_rate(50, Part(place, 2))
        crowds = [
            asyncio.create_task(spy.crowd(9, until_s)) for spy, until_s in ((one, 20), (other, 10))
        ]
        await asyncio.sleep(10.4)
        one.pace.set_rate(50, WHOLE)
        await asyncio.gather(*crowds)
        return one, other

    one, other = on_fake_clock(work)
    assert most_in_a_second(sorted(one.passed_s + other.passed_s)) <= 50
    assert one.within(1.1, 10.4) == pytest.approx(24.75 * 9.3, abs=2)
    assert one.within(10.4, 20) == pytest.approx(49.5 * 9.6, abs=2)


def test_open_lets_everyone_go() -> None:
    async def work() -> tuple[int, int]:
        pace = Pace(0.01)
        crowd = [asyncio.create_task(pace.wait()) for _ in range(100)]
        await asyncio.sleep(1)
        waiting = pace.waiting
        crowd[3].cancel()
        pace.open()
        await asyncio.gather(*crowd, return_exceptions=True)
        await pace.wait()
        return waiting, pace.waiting

    assert on_fake_clock(work) == (99, 0)


def test_waiting_costs_no_task_and_one_timer() -> None:
    async def work() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        pace = Pace(1)
        waits = [asyncio.ensure_future(pace.wait()) for _ in range(500)]
        await asyncio.sleep(0.1)
        pace.left()
        timers = len([t for t in loop._scheduled if not t.cancelled()])  # type: ignore[attr-defined]
        tasks = len(asyncio.all_tasks()) - 1 - len(waits) + 1  # the first has passed
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return tasks, timers

    assert on_fake_clock(work) == (0, 1)
