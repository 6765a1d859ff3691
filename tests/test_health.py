"""Outages, dead silence and closed doors: declared when they should be, and over at once."""

from __future__ import annotations

import asyncio

import pytest
from clock import on_fake_clock

from runner.errors import ProviderStopped
from runner.health import OUTAGE_ROWS, PROBE_MOST_S, SILENT_ROWS, Health


def declare(health: Health, rows: int = OUTAGE_ROWS) -> None:
    for row in range(rows):
        health.failure(row, rows_left=None)
    assert health.is_outage


@pytest.mark.parametrize(
    ("rows_left", "needed"), [(None, 8), (100, 8), (8, 8), (7, 7), (3, 3), (2, 2)]
)
def test_an_outage_is_eight_rows_or_all_that_are_left(rows_left: int | None, needed: int) -> None:
    async def work() -> None:
        health = Health(max_outage_s=100)
        declared = [health.failure(row, rows_left=rows_left) for row in range(needed)]
        assert declared == [False] * (needed - 1) + [True]
        assert health.is_outage
        assert not health.failure(needed, rows_left=rows_left)  # it is declared once

    on_fake_clock(work)


@pytest.mark.parametrize("rows_left", [None, 1])
def test_one_row_alone_is_never_an_outage(rows_left: int | None) -> None:
    async def work() -> None:
        health = Health(max_outage_s=100)
        assert not any(health.failure(7, rows_left=rows_left) for _ in range(50))
        assert not health.is_outage

    on_fake_clock(work)


@pytest.mark.parametrize("answer", ["success", "answered", "throttled"])
def test_any_answer_between_makes_it_no_outage(answer: str) -> None:
    async def work() -> None:
        health = Health(max_outage_s=100)
        for row in range(100):
            assert not health.failure(row, rows_left=None)
            if row % 7 == 6:
                getattr(health, answer)()
        assert health.succeeded_once == (answer == "success")

    on_fake_clock(work)


@pytest.mark.parametrize("answer", ["success", "answered", "throttled"])
def test_any_answer_ends_it_and_everyone_goes_on(answer: str) -> None:
    async def work() -> None:
        health = Health(max_outage_s=100)
        declare(health)
        crowd = [asyncio.create_task(health.admit()) for _ in range(100)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in crowd)
        assert health.outage_s == pytest.approx(0.5)
        getattr(health, answer)()
        assert not any(await asyncio.gather(*crowd))  # nobody is a probe any more
        assert not health.is_outage
        assert health.outage_s == 0

    on_fake_clock(work)


def test_one_probes_at_a_time_at_a_pace_that_halves_down_to_six_times_a_minute() -> None:
    async def work() -> list[float]:
        health, loop = Health(max_outage_s=10_000), asyncio.get_running_loop()
        declare(health)
        start_s, probes, probing = loop.time(), list[float](), 0

        async def ask(row: int) -> None:
            nonlocal probing
            while await health.admit():
                probing += 1
                assert probing == 1
                probes.append(loop.time() - start_s)
                await asyncio.sleep(0.25)
                health.failure(row, rows_left=None)
                probing -= 1
                health.probed()

        crowd = [asyncio.create_task(ask(row)) for row in range(50)]
        await asyncio.sleep(200)
        health.success()
        await asyncio.gather(*crowd)
        return probes

    probes = on_fake_clock(work)
    gaps = [b - a - 0.25 for a, b in zip([-0.25, *probes], probes, strict=False)]
    assert gaps[:6] == pytest.approx([1, 2, 4, 8, 10, 10], abs=0.01)
    assert all(gap == pytest.approx(PROBE_MOST_S, abs=0.01) for gap in gaps[5:])


def test_attempts_that_were_on_their_way_do_not_slow_the_probes() -> None:
    async def work() -> float:
        health, loop = Health(max_outage_s=100), asyncio.get_running_loop()
        declare(health)
        for row in range(1000):
            health.failure(row, rows_left=None)
        start_s = loop.time()
        assert await health.admit()
        return loop.time() - start_s

    assert on_fake_clock(work) == pytest.approx(1, abs=0.01)


def test_the_next_outage_is_probed_quickly_again() -> None:
    async def work() -> float:
        health, loop = Health(max_outage_s=1000), asyncio.get_running_loop()
        declare(health)
        for _ in range(5):
            assert await health.admit()
            health.probed()
        health.success()
        declare(health)
        start_s = loop.time()
        assert await health.admit()
        return loop.time() - start_s

    assert on_fake_clock(work) == pytest.approx(1, abs=0.01)


def test_a_prober_that_never_comes_back_for_more_is_followed_by_another() -> None:
    async def work() -> float:
        health, loop = Health(max_outage_s=1000), asyncio.get_running_loop()
        declare(health)
        start_s = loop.time()
        first = asyncio.create_task(health.admit())
        second = asyncio.create_task(health.admit())
        assert await first
        health.probed()  # its row has ended otherwise; this worker asks nobody any more
        assert await second
        return loop.time() - start_s

    assert on_fake_clock(work) == pytest.approx(3, abs=0.01)


def test_a_prober_that_is_cancelled_is_followed_by_another() -> None:
    async def work() -> None:
        health = Health(max_outage_s=1000)
        declare(health)
        first = asyncio.create_task(health.admit())
        await asyncio.sleep(0.5)
        others = [asyncio.create_task(health.admit()) for _ in range(3)]
        await asyncio.sleep(0.1)
        first.cancel()
        done, _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [True]
        health.success()
        await asyncio.gather(*others)

    on_fake_clock(work)


def test_gives_up_after_so_long_and_says_what_to_look_at() -> None:
    async def work() -> None:
        health = Health(max_outage_s=60)
        assert health.give_up(last="HTTP 502: Bad Gateway") is None
        declare(health)
        await asyncio.sleep(59.9)
        assert health.give_up(last="HTTP 502: Bad Gateway") is None
        await asyncio.sleep(1.1)
        stop = health.give_up(last="HTTP 502: Bad Gateway")
        assert isinstance(stop, ProviderStopped)
        assert "61 s (--max-outage 60), last: HTTP 502: Bad Gateway." in str(stop)

    on_fake_clock(work)


def test_nothing_but_throttles_for_too_long_stops_the_run() -> None:
    async def work() -> None:
        health = Health(max_outage_s=60)
        assert health.throttled() is None
        await asyncio.sleep(59)
        assert health.throttled() is None
        health.answered()
        await asyncio.sleep(59)
        assert health.throttled() is None
        await asyncio.sleep(61)
        stop = health.throttled()
        assert isinstance(stop, ProviderStopped)
        assert "--qps" in str(stop)

    on_fake_clock(work)


def test_nothing_but_timeouts_stops_the_run_and_names_the_flag() -> None:
    async def work() -> None:
        health = Health(max_outage_s=60)
        for _ in range(5):
            assert health.timed_out(0, rows_left=None) is None
        stops = [health.timed_out(row, rows_left=None) for row in range(SILENT_ROWS)]
        assert stops[:-1] == [None] * (SILENT_ROWS - 1)
        assert "--timeout" in str(stops[-1])
        assert not health.is_outage

    on_fake_clock(work)


def test_timeouts_with_answers_between_are_the_rows_own() -> None:
    async def work() -> None:
        health = Health(max_outage_s=60)
        for row in range(100):
            assert health.timed_out(row, rows_left=None) is None
            if row % 15 == 14:
                health.success()

    on_fake_clock(work)


@pytest.mark.parametrize(("success_before", "stops"), [(False, True), (True, False)])
def test_the_last_few_rows_may_time_out_once_something_was_answered(
    success_before: bool, stops: bool
) -> None:
    async def work() -> None:
        health = Health(max_outage_s=60)
        if success_before:
            health.success()
        assert health.timed_out(0, rows_left=2) is None
        assert (health.timed_out(1, rows_left=2) is not None) == stops

    on_fake_clock(work)


def test_open_lets_everyone_go_and_declares_nothing_more() -> None:
    async def work() -> None:
        health = Health(max_outage_s=1000)
        declare(health)
        crowd = [asyncio.create_task(health.admit()) for _ in range(20)]
        await asyncio.sleep(0.5)
        health.open()
        declared = [health.failure(row, rows_left=None) for row in range(20)]
        assert not any(await asyncio.gather(*crowd))
        assert not any(declared)
        assert not await health.admit()

    on_fake_clock(work)


def test_a_pause_does_not_count_as_outage() -> None:
    async def work() -> None:
        health = Health(max_outage_s=100)
        declare(health)
        await asyncio.sleep(60)
        health.stand_still()
        await asyncio.sleep(10_000)
        assert health.outage_s == pytest.approx(60)
        assert health.give_up(last="HTTP 502: Bad Gateway") is None
        health.move_on()
        await asyncio.sleep(30)
        assert health.outage_s == pytest.approx(90)
        await asyncio.sleep(11)
        assert health.give_up(last="HTTP 502: Bad Gateway") is not None

    on_fake_clock(work)


def test_a_pause_does_not_count_as_throttling() -> None:
    async def work() -> None:
        health = Health(max_outage_s=100)
        assert health.throttled() is None
        health.stand_still()
        await asyncio.sleep(10_000)
        health.move_on()
        assert health.throttled() is None
        await asyncio.sleep(101)
        assert health.throttled() is not None

    on_fake_clock(work)
