"""Where each failed attempt leads, and what becomes of rows whose failure may be everybody's."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from clock import on_fake_clock
from pool import Pool
from scripted_client import (
    Asked,
    Step,
    bad_key,
    broken_off,
    error,
    filtered,
    overloaded,
    refused,
    reply,
    stream_only,
    throttled,
    too_slow,
)

from runner.errors import AttemptFailed, IncompleteReply, Interrupted, ProviderStopped
from runner.limits import Limits, Pace, TokenBudget
from runner.setbacks import CONFIG_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Result

WEB_PAGE = IncompleteReply("no JSON", text="<html>sign in</html>")


@pytest.mark.parametrize(
    ("failure", "ends_as", "attempts"),
    [
        (filtered(), "content_filter", 1),
        (error(400, "invalid_parameter_error", "list index out of range"), "bad_request", 1),
        (overloaded(), "server_error", 6),
        (refused(), "connection", 6),
        (error(408, "", "request timeout"), "server_error", 6),
        (too_slow(), "timeout", 2),
        (broken_off(known=True), "incomplete", 2),
        (throttled(), "throttled", 240),
        (stream_only(), "config", 1),
        (WEB_PAGE, "incomplete", 1),
    ],
)
def test_one_bad_row_among_good_ones_ends_as_its_failure_says(
    failure: AttemptFailed, ends_as: str, attempts: int
) -> None:
    def script(asked: Asked) -> Step:
        return failure if asked.row == 20 else reply()

    async def work() -> Pool:
        return await Pool(60, script, workers=2, max_outage_s=1e9).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 59, ends_as: 1}
    assert pool.results[20].attempts == attempts
    assert pool.reason is None


def test_a_stop_leaves_rows_pending_and_nothing_more_is_sent() -> None:
    def script(asked: Asked) -> Step:
        return bad_key() if asked.row == 30 else reply()

    async def work() -> Pool:
        return await Pool(100, script, workers=5).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert "Incorrect API key" in str(pool.reason)
    assert 30 in pool.pending
    stopped_at_s = pool.client.sent[30].at_s + 0.1
    assert all(asked.at_s < stopped_at_s for asked in pool.client.sent)
    assert len(pool.client.sent) <= 35
    # what was on its way has landed
    assert {asked.row for asked in pool.client.sent} - {30} == set(pool.results)


# A configuration that the provider refuses


@pytest.mark.parametrize("workers", [1, 5, 50])
def test_the_first_rows_all_refused_for_the_configuration_stop_the_run(workers: int) -> None:
    async def work() -> Pool:
        return await Pool(500, lambda _: stream_only(), workers=workers).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert "only support stream mode" in str(pool.reason)
    assert "--stream" in str(pool.reason)
    assert pool.results == {}
    assert len(pool.client.sent) <= 20 + workers
    assert set(pool.client.attempts.values()) == {1}


@pytest.mark.parametrize("rows", [1, 2, 19])
def test_fewer_rows_are_all_of_them(rows: int) -> None:
    async def work() -> Pool:
        return await Pool(rows, lambda _: stream_only(), workers=4).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert len(pool.pending) == rows


def test_all_of_them_is_known_only_when_reading_has_ended() -> None:
    async def work() -> Pool:
        pool = Pool(3, lambda _: stream_only())
        pool.start()
        await asyncio.sleep(100)
        assert pool.reason is None
        await pool.all_read()
        await pool.end()
        return pool

    assert isinstance(on_fake_clock(work).reason, ProviderStopped)


def test_a_success_shows_that_they_were_bad_rows() -> None:
    def script(asked: Asked) -> Step:
        return reply() if asked.row == 19 or asked.row > 30 else stream_only()

    async def work() -> Pool:
        return await Pool(60, script, workers=1).run()

    pool = on_fake_clock(work)
    assert pool.reason is None
    assert pool.errors == {None: 30, "config": 30}
    assert pool.kept[:20] == [*range(19), 19]


def test_a_consumer_that_is_slow_to_take_held_rows_does_not_strand_others() -> None:
    def script(asked: Asked) -> Step:
        return reply() if asked.row == 5 else stream_only()

    class SlowPool(Pool):
        async def keep(self, result: Result) -> None:
            await asyncio.sleep(1)
            await super().keep(result)

    async def work() -> Pool:
        return await SlowPool(12, script, workers=6).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 1, "config": 11}


def test_refusals_of_several_kinds_count_together_while_nothing_succeeds() -> None:
    def script(asked: Asked) -> Step:
        kinds = ["must stream", "enable_thinking must be set to false for non-streaming calls"]
        return error(400, "invalid_parameter_error", f"parameter.{kinds[asked.row % 2]}")

    async def work() -> Pool:
        return await Pool(60, script, workers=1).run()

    pool = on_fake_clock(work)
    assert pool.results == {}
    assert len(pool.client.sent) == CONFIG_ROWS
    assert "2 reasons" in str(pool.reason)


@pytest.mark.parametrize(
    "failure",
    [error(400, "invalid_parameter_error", "list index out of range"), broken_off(known=True)],
)
def test_a_dataset_is_not_burnt_while_nothing_ever_succeeds(failure: AttemptFailed) -> None:
    async def work() -> Pool:
        return await Pool(300, lambda _: failure, workers=4).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert pool.results == {}
    assert len({asked.row for asked in pool.client.sent}) < 5 * CONFIG_ROWS


def test_two_poison_rows_at_the_end_fail_and_wait_for_nothing() -> None:
    def script(asked: Asked) -> Step:
        return overloaded() if asked.row in {3, 4} else reply()

    async def work() -> Pool:
        return await Pool(5, script, workers=5).run()

    pool = on_fake_clock(work)
    assert pool.reason is None
    assert pool.errors == {None: 3, "server_error": 2}


def test_what_is_held_when_something_else_stops_the_run_stays_pending() -> None:
    def script(asked: Asked) -> Step:
        return stream_only() if asked.row < 5 else reply()

    async def work() -> Pool:
        pool = Pool(6, script, workers=1)
        pool.start()
        await asyncio.sleep(0.55)
        pool.stop(Interrupted("enough"))
        await pool.end()
        return pool

    assert on_fake_clock(work).pending == set(range(5))


# Answers that never come whole


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("workers", [1, 5, 50])
def test_when_the_first_answers_all_break_off_the_run_stops_before_it_pays_for_more(
    workers: int, *, known: bool
) -> None:
    async def work() -> Pool:
        return await Pool(500, lambda _: broken_off(known=known), workers=workers).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert str(pool.reason).startswith("no answer came whole, in 20 rows: the answer broke off (")
    assert pool.results == {}
    assert len(pool.client.attempts) <= 20 + workers


@pytest.mark.parametrize("rows", [1, 19])
def test_fewer_rows_are_asked_once_more_before_it_is_said_that_none_came_whole(rows: int) -> None:
    async def work() -> Pool:
        return await Pool(rows, lambda _: broken_off(known=False), workers=4).run()

    pool = on_fake_clock(work)
    assert str(pool.reason).startswith(f"no answer came whole, in {rows} row")
    assert "refused" not in str(pool.reason)
    assert set(pool.client.attempts.values()) == {2}
    assert len(pool.pending) == rows


def test_answers_that_break_off_stop_nothing_once_one_has_come() -> None:
    def script(asked: Asked) -> Step:
        return broken_off(known=True) if 0 < asked.row < 60 else reply()

    async def work() -> Pool:
        return await Pool(70, script, workers=1).run()

    pool = on_fake_clock(work)
    assert pool.reason is None
    assert pool.errors == {None: 11, "incomplete": 59}


# An outage


def outage(start_s: float, stop_s: float) -> Callable[[Asked], Step]:
    def script(asked: Asked) -> Step:
        return refused() if start_s <= asked.at_s < stop_s else reply()

    return script


@pytest.mark.parametrize("workers", [1, 4, 64])
@pytest.mark.parametrize("max_attempts", [1, 2, 6])
def test_an_outage_costs_no_row_and_no_attempts(workers: int, max_attempts: int) -> None:
    async def work() -> Pool:
        script = outage(2, 62)
        return await Pool(2000, script, workers=workers, max_attempts=max_attempts).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 2000}
    assert all(turn.history.counted <= 0 for turn in pool.turns)
    assert [line[:32] for line in pool.said] == [
        "The endpoint answers nobody (127",
        "The endpoint answers again after",
    ]


def test_in_an_outage_only_one_row_probes_at_a_time_and_less_and_less_often() -> None:
    async def work() -> Pool:
        return await Pool(3000, outage(2, 300), workers=64).run()

    pool = on_fake_clock(work)
    probes = [asked.at_s for asked in pool.client.sent if 2.3 < asked.at_s < 300]
    assert len(probes) <= 5 + 300 / 10
    assert min(b - a for a, b in pairwise(probes)) > 1
    assert pool.errors == {None: 3000}


def test_whoever_stood_in_line_when_an_outage_was_declared_waits_too() -> None:
    async def work() -> Pool:
        limits = Limits(Pace(10), TokenBudget(10**6))
        return await Pool(900, outage(2, 100), workers=400, limits=limits).run()

    pool = on_fake_clock(work)
    in_vain = [asked for asked in pool.client.sent if 2 <= asked.at_s < 100]
    assert len(in_vain) <= 8 + 3 + 5 + 100 / 10  # declared by 8, a few on their way, and the probes
    assert pool.errors == {None: 900}


def test_an_outage_from_the_first_request_on_is_one_too() -> None:
    async def work() -> Pool:
        return await Pool(100, outage(0, 30), max_attempts=2).run()

    assert on_fake_clock(work).errors == {None: 100}


@pytest.mark.parametrize("rows", [2, 5, 100])
def test_an_outage_that_lasts_too_long_stops_the_run_with_everything_pending(rows: int) -> None:
    async def work() -> Pool:
        return await Pool(rows, lambda _: refused(), max_outage_s=600, max_attempts=3).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert "--max-outage 600" in str(pool.reason)
    assert pool.results == {}
    assert 600 < pool.client.sent[-1].at_s < 640


@pytest.mark.parametrize(
    ("failure", "last"),
    [
        (refused(), "127.0.0.1:9: connection refused"),
        (error(502, "", "502 Bad Gateway"), "HTTP 502: 502 Bad Gateway"),
        (error(503, "", "Service Unavailable"), "HTTP 503: Service Unavailable"),
        (error(500, "", ""), "HTTP 500"),
    ],
)
def test_an_outage_says_what_the_endpoint_last_answered(failure: AttemptFailed, last: str) -> None:
    async def work() -> Pool:
        return await Pool(100, lambda _: failure, max_outage_s=60).run()

    pool = on_fake_clock(work)
    assert f"last: {last}. Check it" in str(pool.reason)
    assert pool.said[0].startswith(f"The endpoint answers nobody ({last}); everyone waits")


@pytest.mark.parametrize("failure", [overloaded(), refused()])
@pytest.mark.parametrize("max_attempts", [1, 6])
def test_a_poison_row_alone_ends(failure: AttemptFailed, max_attempts: int) -> None:
    def script(asked: Asked) -> Step:
        return failure if asked.row == 3 else reply()

    async def work() -> Pool:
        return await Pool(10, script, max_attempts=max_attempts).run()

    pool = on_fake_clock(work)
    assert pool.reason is None
    assert pool.errors[None] == 9
    assert pool.results[3].attempts == max_attempts


def test_a_single_row_ends_when_reading_ends_after_its_last_attempt() -> None:
    async def work() -> Pool:
        pool = Pool(1, lambda _: refused(), max_attempts=1)
        pool.start()
        await asyncio.sleep(10)
        assert pool.pending == {0}  # it may yet turn out to be an outage
        await pool.all_read()
        await pool.end()
        return pool

    assert on_fake_clock(work).errors == {"connection": 1}


def test_two_rows_out_of_attempts_when_reading_ends_are_an_outage() -> None:
    async def work() -> Pool:
        pool = Pool(2, outage(0, 60), max_attempts=1)
        pool.start()
        await asyncio.sleep(10)
        await pool.all_read()
        await pool.end()
        return pool

    assert on_fake_clock(work).errors == {None: 2}


@pytest.mark.parametrize(
    "answer", [filtered(), throttled(), stream_only(), error(408, "", "slow"), WEB_PAGE]
)
def test_an_error_that_only_a_working_endpoint_sends_ends_an_outage(answer: AttemptFailed) -> None:
    def script(asked: Asked) -> Step:
        if asked.at_s < 1:
            return refused()
        return answer if asked.attempt <= 2 and asked.row == 0 and asked.at_s < 10 else reply()

    async def work() -> Pool:
        return await Pool(50, script, workers=10).run()

    pool = on_fake_clock(work)
    assert not pool.health.is_outage
    assert pool.pending == set()
    assert len(pool.said) == 2


@pytest.mark.parametrize("probe_gets", [too_slow(), broken_off(known=False), filtered()])
def test_a_probe_that_ends_its_row_otherwise_leaves_nobody_waiting(
    probe_gets: AttemptFailed,
) -> None:
    def script(asked: Asked) -> Step:
        if asked.at_s < 0.5:
            return refused()
        return probe_gets if asked.at_s < 200 else reply()

    async def work() -> Pool:
        # as many workers as rows: nobody has a further turn
        return await Pool(5, script, workers=5, max_attempts=2).run()

    pool = on_fake_clock(work)
    assert pool.pending == set() or pool.reason is not None


def test_many_more_probes_than_workers_end_well() -> None:
    def script(asked: Asked) -> Step:
        return refused() if int(asked.at_s) % 20 < 10 else reply()

    async def work() -> Pool:
        return await Pool(3000, script, workers=16, latency_s=0.3, max_attempts=2).run()

    assert on_fake_clock(work).errors == {None: 3000}


def test_stopping_in_an_outage_ends_at_once() -> None:
    async def work() -> tuple[Pool, float]:
        loop = asyncio.get_running_loop()
        pool = Pool(100, lambda _: refused(), workers=20)
        pool.start()
        await asyncio.sleep(50)
        start_s = loop.time()
        pool.stop(Interrupted("enough"))
        await pool.end()
        return pool, loop.time() - start_s

    pool, took_s = on_fake_clock(work)
    assert took_s < 0.2
    assert pool.results == {}


# Nothing but timeouts, nothing but throttles


def test_when_everything_times_out_the_run_stops_and_names_the_flag() -> None:
    async def work() -> Pool:
        return await Pool(500, lambda _: too_slow(), workers=4, latency_s=600).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert "--timeout" in str(pool.reason)
    assert pool.results == {}


def test_the_last_rows_that_time_out_fail_once_others_have_been_answered() -> None:
    def script(asked: Asked) -> Step:
        return too_slow() if asked.row in {3, 4, 5} else reply()

    async def work() -> Pool:
        return await Pool(10, script, workers=4).run()

    pool = on_fake_clock(work)
    assert pool.reason is None
    assert pool.errors == {None: 7, "timeout": 3}
    assert {pool.results[row].unmetered_attempts for row in (3, 4, 5)} == {2}


def test_nothing_but_throttles_for_max_outage_stops_the_run() -> None:
    async def work() -> Pool:
        return await Pool(200, lambda _: throttled(), max_outage_s=900).run()

    pool = on_fake_clock(work)
    assert isinstance(pool.reason, ProviderStopped)
    assert "too many requests" in str(pool.reason)
    assert pool.results == {}


def test_held_rows_of_both_kinds_are_decided_when_they_are_all_that_is_left() -> None:
    def script(asked: Asked) -> Step:
        return stream_only() if asked.row == 0 else refused()

    async def work() -> Pool:
        return await Pool(2, script, workers=2, max_attempts=1).run()

    pool = on_fake_clock(work)
    assert pool.errors == {"connection": 1}
    assert pool.pending == {0}
    assert isinstance(pool.reason, ProviderStopped)
