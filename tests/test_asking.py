"""From a turn to its result: what is sent, what is billed, and what is left when it stops."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

import pytest
from clock import on_fake_clock, stall
from pool import PICO_PER_TOKEN, Pool
from scripted_client import (
    REPLY_TOKENS,
    Asked,
    Step,
    broken_off,
    filtered,
    overloaded,
    refused,
    reply,
    throttled,
    too_slow,
)
from windows import most_in_a_second

from runner.errors import AnsweredError, AttemptFailed, Interrupted, MachineFault
from runner.limits import Limits, Pace, TokenBudget
from runner.records import Row, Usage

if TYPE_CHECKING:
    from runner.limits import Admission
    from runner.records import Result, Unfinished

CROWNS_A_REPLY = REPLY_TOKENS * PICO_PER_TOKEN / 1e12


class CountedLimits(Limits):
    """Notes that every admission is settled, once."""

    def __init__(self, pace: Pace | None = None, per_minute: int = 10**9) -> None:
        super().__init__(pace, TokenBudget(per_minute))
        self.open_admissions: list[Admission] = []
        self.settled: list[tuple[Usage | None, bool]] = []

    async def admit(self, *args: object) -> Admission:
        admission = await super().admit(*args)  # type: ignore[arg-type]  # passed on as they came
        self.open_admissions.append(admission)
        return admission

    def settle(self, admission: Admission, usage: Usage | None, *, unknown: bool = False) -> None:
        if any(one is admission for one in self.open_admissions):
            self.open_admissions = [one for one in self.open_admissions if one is not admission]
            self.settled.append((usage, unknown))
        super().settle(admission, usage, unknown=unknown)


def test_every_row_is_asked_once_and_answered() -> None:
    async def work() -> Pool:
        return await Pool(100, lambda asked: reply(f"row {asked.row}"), workers=7).run()

    pool = on_fake_clock(work)
    assert {row: one.completion for row, one in pool.results.items()} == {
        row: f"row {row}" for row in range(100)
    }
    assert {one.attempts for one in pool.results.values()} == {1}
    assert pool.client.most_in_flight == 7
    assert pool.results[5].cost == pytest.approx(CROWNS_A_REPLY)


class Text(str):
    """A cell that can be watched; a plain str cannot."""

    __slots__ = ("__weakref__",)


def test_a_worker_without_a_turn_lets_go_of_the_last_row() -> None:
    async def work() -> list[str]:
        pool = Pool([Row(0, {"text": Text("large")}), Row(1, {}, flaw="none")], lambda _: reply())
        text = weakref.ref(pool.rows[0].cells["text"])
        pool.start()
        pool.rows, pool.turns = [], []
        await asyncio.sleep(1.0)
        assert (len(pool.results), pool.intake.idle) == (2, pool.workers)
        held = [] if text() is None else ["the row that was answered"]
        await pool.all_read()
        await pool.end()
        return held

    assert on_fake_clock(work) == []


def test_a_row_that_makes_no_request_fails_unsent() -> None:
    rows = [Row(0, {}), Row(1, {}, flaw="too few cells"), Row(2, {})]

    async def work() -> Pool:
        return await Pool(rows, lambda _: reply()).run()

    pool = on_fake_clock(work)
    assert pool.results[1].error_type == "input"
    assert pool.results[1].error_message == "too few cells"
    assert pool.results[1].attempts == 0
    assert [asked.row for asked in pool.client.sent] == [0, 2]


def test_a_row_above_the_token_limit_fails_unsent() -> None:
    async def work() -> Pool:
        # even an empty request is guessed at 3 tokens
        return await Pool(2, lambda _: reply(), limits=Limits(None, TokenBudget(1))).run()

    pool = on_fake_clock(work)
    assert pool.errors == {"too_large": 2}
    assert pool.client.sent == []


@pytest.mark.parametrize(
    ("failures", "attempts", "unmetered", "billed"),
    [
        ([], 1, 0, 1),
        ([throttled(), throttled()], 3, 0, 1),
        ([overloaded()], 2, 0, 1),
        ([too_slow()], 2, 1, 1),
        ([broken_off(known=True)], 2, 0, 2),
        ([broken_off(known=False)], 2, 1, 1),
        ([too_slow(), broken_off(known=True), throttled(), overloaded()], 5, 1, 2),
    ],
)
def test_the_bill_sums_every_attempt(
    failures: list[AttemptFailed], attempts: int, unmetered: int, billed: int
) -> None:
    def script(asked: Asked) -> Step:
        return failures[asked.attempt - 1] if asked.attempt <= len(failures) else reply()

    async def work() -> Pool:
        return await Pool(1, script).run()

    result = on_fake_clock(work).results[0]
    assert result.error_type is None
    assert (result.attempts, result.unmetered_attempts) == (attempts, unmetered)
    assert result.total_tokens == billed * REPLY_TOKENS
    assert result.cost == pytest.approx(billed * CROWNS_A_REPLY)


@pytest.mark.parametrize("kind", ["broken off", "timed out", "error in the stream"])
def test_a_failed_row_keeps_the_text_that_was_paid_for(kind: str) -> None:
    def script(asked: Asked) -> Step:
        if asked.row == 0:
            return reply()
        failure: AttemptFailed = broken_off(known=True)
        if kind == "timed out":
            failure = too_slow()
        elif kind == "error in the stream":
            failure = AnsweredError(200, "data_inspection_failed", "inappropriate", headers={})
        failure.partial = reply("half")
        return failure

    async def work() -> Pool:
        return await Pool(2, script, workers=1, max_attempts=1).run()

    result = on_fake_clock(work).results[1]
    assert result.error_type is not None
    assert result.completion is None
    assert result.rejected == "half"
    assert result.total_tokens == REPLY_TOKENS


def test_an_answer_without_usage_counts_as_unmetered() -> None:
    async def work() -> Pool:
        return await Pool(1, lambda _: reply(known=False)).run()

    result = on_fake_clock(work).results[0]
    assert result.unmetered_attempts == 1
    assert result.cost is None
    assert result.total_tokens is None


def test_every_admission_is_settled_once_with_what_the_attempt_took() -> None:
    outcomes: list[Step] = [
        reply(),
        filtered(),
        reply(known=False),
        broken_off(known=True),
        broken_off(known=False),
        too_slow(),
    ]

    def script(asked: Asked) -> Step:
        return outcomes[asked.row] if asked.attempt == 1 else reply()

    async def work() -> CountedLimits:
        limits = CountedLimits()
        await Pool(len(outcomes), script, workers=1, limits=limits).run()
        return limits

    limits = on_fake_clock(work)
    known, free, unknown = (Usage(10, 5, 15), False), (None, False), (None, True)
    assert limits.open_admissions == []
    assert limits.settled[:6] == [known, free, unknown, known, unknown, unknown]
    assert limits.settled[6:] == [known] * 3


def test_whoever_is_admitted_when_the_run_stops_sends_nothing_and_is_settled() -> None:
    async def work() -> tuple[CountedLimits, Pool]:
        limits = CountedLimits(Pace(1))
        pool = Pool(50, lambda _: reply(), workers=20, limits=limits)
        pool.start()
        await asyncio.sleep(3.5)
        pool.stop(Interrupted("enough"))
        await pool.end()
        return limits, pool

    limits, pool = on_fake_clock(work)
    assert len(pool.client.sent) == 4
    assert len(pool.results) == 4
    assert limits.open_admissions == []
    assert len(limits.settled) == 4 + 1


def test_cancelled_in_mid_send_everything_is_settled_and_what_was_kept_stays() -> None:
    async def work() -> tuple[CountedLimits, Pool]:
        limits = CountedLimits()
        pool = Pool(
            100, lambda asked: reply() if asked.row < 30 else None, workers=10, limits=limits
        )
        pool.start()
        await asyncio.sleep(60)
        assert pool.asking.in_flight == 10
        for task in pool.tasks:
            task.cancel()
        await asyncio.gather(*pool.tasks, return_exceptions=True)
        return limits, pool

    limits, pool = on_fake_clock(work)
    assert pool.asking.in_flight == 0
    assert pool.kept == list(range(30))
    assert limits.open_admissions == []
    assert limits.settled[-10:] == [(None, True)] * 10  # it may be billed


def test_replies_that_land_while_it_stops_still_count() -> None:
    async def work() -> Pool:
        pool = Pool(100, lambda _: reply(), workers=10, latency_s=5)
        pool.start()
        await asyncio.sleep(1)
        pool.stop(Interrupted("enough"))
        assert pool.asking.in_flight == 10
        await pool.end()
        return pool

    pool = on_fake_clock(work)
    assert sorted(pool.results) == list(range(10))
    assert len(pool.client.sent) == 10


def test_a_row_whose_last_attempt_fails_while_it_stops_stays_pending() -> None:
    def script(asked: Asked) -> Step:
        return filtered() if asked.row == 0 else too_slow()

    async def work() -> Pool:
        pool = Pool(3, script, latency_s=5, max_attempts=1)
        pool.start()
        await asyncio.sleep(1)
        pool.stop(Interrupted("enough"))
        await pool.end()
        return pool

    pool = on_fake_clock(work)
    assert pool.results[0].error_type == "content_filter"
    assert pool.pending == {1, 2}


def test_a_waiting_retry_holds_no_worker() -> None:
    def script(asked: Asked) -> Step:
        return throttled() if asked.attempt == 1 and asked.row < 5 else reply()

    async def work() -> Pool:
        return await Pool(100, script, workers=1).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 100}
    first_95_s = pool.client.sent[99].at_s
    assert first_95_s < 100 * 0.1 + 0.5  # as if nobody had waited


def test_a_throttled_row_waits_by_itself_and_uses_no_attempts_up() -> None:
    def script(asked: Asked) -> Step:
        return throttled() if asked.row == 0 and asked.attempt < 30 else reply()

    async def work() -> Pool:
        return await Pool(50, script, max_attempts=2).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 50}
    assert pool.results[0].attempts == 30
    assert max(asked.at_s for asked in pool.client.sent if asked.row) < 1


def test_retries_pay_the_limits_again() -> None:
    def script(asked: Asked) -> Step:
        return throttled() if asked.attempt < 4 else reply()

    async def work() -> Pool:
        return await Pool(50, script, workers=50, limits=Limits(Pace(5), None)).run()

    pool = on_fake_clock(work)
    assert len(pool.client.sent) == 200
    assert pool.client.sent[-1].at_s >= 200 / 5 - 1


def some_fail_once(asked: Asked) -> Step:
    return overloaded() if asked.row % 50 == 7 and asked.attempt == 1 else reply()


def retries(pool: Pool, *, after_s: float = 0.0) -> list[tuple[float, float]]:
    """When rows that failed at first were asked, and when again."""
    firsts = {asked.row: asked.at_s for asked in pool.client.sent if asked.attempt == 1}
    found = [(firsts[one.row], one.at_s) for one in pool.client.sent if one.attempt == 2]
    return [(first_s, again_s) for first_s, again_s in found if first_s > after_s]


LATENCY_S, LONGEST_FIRST_WAIT_S = 0.1, 2.0


@pytest.mark.parametrize(("per_second", "workers"), [(0.5, 30), (8, 480), (60, 1000), (900, 1000)])
def test_a_retry_that_is_due_waits_for_hardly_anyone_and_the_pace_is_kept(
    per_second: float, workers: int
) -> None:
    rows = max(100, int(per_second * 20))

    async def work() -> Pool:
        pool = Pool(rows, some_fail_once, workers=workers, limits=Limits(Pace(per_second), None))
        return await pool.run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: rows}
    waits = [again_s - first_s for first_s, again_s in retries(pool)]
    assert len(waits) == len(range(7, rows, 50))
    assert max(waits) <= LATENCY_S + LONGEST_FIRST_WAIT_S + max(0.5, 2.1 / per_second)
    took_s = pool.client.sent[rows - 1].at_s
    assert rows - 1 <= took_s * per_second <= (rows - 1) / 0.98


def test_nor_does_it_where_tokens_are_what_everybody_waits_for() -> None:
    async def work() -> Pool:
        # 60 requests a minute by their tokens, and 50 a second by the pace.
        limits = Limits(Pace(50), TokenBudget(60 * REPLY_TOKENS))
        return await Pool(300, some_fail_once, workers=1000, limits=limits).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 300}
    for first_s, again_s in retries(pool):
        due_s = first_s + LATENCY_S + LONGEST_FIRST_WAIT_S
        assert sum(due_s < one.at_s < again_s for one in pool.client.sent) <= 3


def test_an_outage_leaves_no_line_behind_it() -> None:
    def script(asked: Asked) -> Step:
        if 5 < asked.at_s < 60:
            return refused()
        return some_fail_once(asked)

    async def work() -> Pool:
        return await Pool(2000, script, workers=1000, limits=Limits(Pace(20), None)).run()

    pool = on_fake_clock(work)
    assert pool.errors == {None: 2000}
    # No row was held back that had not been asked, but for the one or two that probed.
    assert len({asked.row for asked in pool.client.sent if 7 < asked.at_s < 60}) < 30
    waits = [again_s - first_s for first_s, again_s in retries(pool, after_s=65)]
    assert max(waits) <= LATENCY_S + LONGEST_FIRST_WAIT_S + 0.5


def test_a_pace_that_is_raised_or_lifted_finds_its_workers() -> None:
    async def work() -> Pool:
        pool = Pool(3000, lambda _: reply(), workers=500, limits=Limits(Pace(1), None))
        pool.start()
        await asyncio.sleep(10.05)
        pool.lanes.set_pace(1000)
        await asyncio.sleep(1)
        pool.lanes.set_pace(None)
        await pool.all_read()
        await pool.end()
        return pool

    pool = on_fake_clock(work)
    sent_s = [asked.at_s for asked in pool.client.sent]
    assert sum(10.05 < at_s <= 11.05 for at_s in sent_s) > 950
    assert pool.client.most_in_flight == 500
    assert sent_s[-1] < 12


@pytest.mark.parametrize("pause_s", [0.0, 0.05, 60.0])
def test_a_pause_while_new_rows_are_held_back_leaves_no_worker_behind(pause_s: float) -> None:
    async def work() -> Pool:
        limits = Limits(Pace(50), None)
        pool = Pool(1500, lambda _: reply(), workers=200, latency_s=2.0, limits=limits)
        pool.start()
        await asyncio.sleep(10.01)
        assert pool.intake.held, "half of the workers keep the pace; the others have to wait"
        assert pool.intake.idle > 50
        pool.asking.pause()
        await asyncio.sleep(pause_s)
        pool.asking.go_on()
        await pool.all_read()
        await pool.end()
        return pool

    pool = on_fake_clock(work)
    assert pool.errors == {None: 1500}
    assert {one.attempts for one in pool.results.values()} == {1}
    sent_s = [asked.at_s for asked in pool.client.sent]
    goes_on_s = 10.01 + pause_s
    assert not any(10.01 < at_s < goes_on_s for at_s in sent_s)
    # Whoever is on the way keeps others from being needed, but only for as long as a reply takes.
    assert sum(goes_on_s + 1 < at_s <= goes_on_s + 11 for at_s in sent_s) >= 490
    assert most_in_a_second(sent_s) <= 50


def test_what_may_be_billed_is_noted_before_the_row_is_asked_again() -> None:
    def script(asked: Asked) -> Step:
        first = {0: broken_off(known=True), 1: too_slow(), 2: throttled(), 3: overloaded()}
        return first.get(asked.row, reply()) if asked.attempt == 1 else reply()

    async def work() -> Pool:
        pool = await Pool(5, script).run()
        await pool.asking.keep_bills()  # all rows have a result: there are none
        return pool

    pool = on_fake_clock(work)
    assert {bill.row: (bill.attempts, bill.unmetered_attempts) for bill in pool.bills} == {
        0: (1, 0),
        1: (1, 1),
    }
    assert pool.bills[0].cost == CROWNS_A_REPLY
    assert pool.asking.unkept == 0


def test_at_a_stop_every_row_that_was_asked_has_a_result_or_a_bill() -> None:
    async def work() -> Pool:
        pool = Pool(50, lambda asked: reply() if asked.row % 2 else throttled(), workers=10)
        pool.start()
        await asyncio.sleep(0.35)
        pool.stop(Interrupted("enough"))
        await pool.end()
        assert pool.bills == []
        await pool.asking.keep_bills()
        return pool

    pool = on_fake_clock(work)
    bills = {bill.row: bill.attempts for bill in pool.bills}
    assert bills
    assert not bills.keys() & pool.results.keys()
    assert bills.keys() | pool.results.keys() == pool.client.attempts.keys()
    assert all(pool.client.attempts[row] == count for row, count in bills.items())


class FullDisk(Pool):
    """One that has room for no result, and for the bill of row 0 alone."""

    async def keep(self, result: Result) -> None:
        raise MachineFault(f"no room for the result of row {result.row}")

    async def keep_bill(self, bill: Unfinished) -> None:
        if bill.row:
            raise MachineFault(f"no room for the bill of row {bill.row}")
        await super().keep_bill(bill)


def test_of_attempts_on_no_line_those_count_that_may_be_billed() -> None:
    script: dict[int, Step] = {0: too_slow(), 1: too_slow(), 2: throttled(), 3: reply(), 4: None}

    async def work() -> Pool:
        pool = FullDisk(5, lambda asked: script[asked.row], workers=5)
        pool.start()
        await asyncio.sleep(0.15)
        for task in pool.tasks:
            task.cancel()
        await asyncio.gather(*pool.tasks, return_exceptions=True)
        return pool

    pool = on_fake_clock(work)
    assert [bill.row for bill in pool.bills] == [0]
    assert pool.client.attempts.total() == 5
    assert pool.asking.unkept == 3, "the bill of 1, the reply for 3, and 4 on its way"


def test_a_laptop_that_slept_for_an_hour_goes_on_at_its_pace() -> None:
    async def work() -> Pool:
        pool = Pool(1000, lambda _: reply(), workers=50, limits=Limits(Pace(100), None))
        pool.start()
        await asyncio.sleep(3)
        stall(3600)
        await pool.all_read()
        await pool.end()
        return pool

    pool = on_fake_clock(work)
    assert len(pool.results) == 1000
    assert all(result.attempts == 1 for result in pool.results.values())
    sent_s = [asked.at_s for asked in pool.client.sent]
    assert most_in_a_second(sent_s) <= 100 * 1.01 + 1, "it makes up for nothing"
    assert 3605 < sent_s[-1] < 3612, "nor does it wait for anything"
