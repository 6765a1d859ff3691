"""The gate in front of every attempt: tokens, then pace, and nothing kept by who does not send."""

from __future__ import annotations

import asyncio

import pytest
from clock import on_fake_clock

from runner.errors import FailsRow
from runner.limits import Limits, Pace, TokenBudget
from runner.records import Request, Usage

REQUEST = Request(row=7, body=b"{}", key="0" * 32, model="qwen-plus")


def test_without_limits_nobody_waits() -> None:
    async def work() -> None:
        limits = Limits(None, None)
        limits.settle(await limits.admit(REQUEST, 1_000_000), Usage(1, 1, 2))
        limits.open()

    on_fake_clock(work)


def test_a_request_above_the_token_limit_fails_its_row_and_says_why() -> None:
    async def work() -> None:
        limits = Limits(None, TokenBudget(1000))
        with pytest.raises(
            FailsRow, match=r"row 7 has about 1,7\d\d input .* 1,000 .*--tpm"
        ) as told:
            await limits.admit(REQUEST, 2000)
        assert told.value.error_type == "too_large"
        limits.settle(await limits.admit(REQUEST, 100), None)

    on_fake_clock(work)


def test_a_guess_that_is_too_high_fails_no_row() -> None:
    async def work() -> None:
        limits = Limits(None, TokenBudget(1000))
        limits.settle(await limits.admit(REQUEST, 1100), Usage(950, 20, 970))

    on_fake_clock(work)


def test_both_limits_hold_at_once() -> None:
    async def work() -> tuple[int, int]:
        counts = []
        for per_second, per_minute in ((5, 10**9), (10**4, 6000)):
            loop = asyncio.get_running_loop()
            limits, until_s = Limits(Pace(per_second), TokenBudget(per_minute)), loop.time() + 60
            count = 0
            while loop.time() < until_s:
                limits.settle(await limits.admit(REQUEST, 100), Usage(80, 20, 100))
                count += 1
            counts.append(count)
        return counts[0], counts[1]

    by_pace, by_tokens = on_fake_clock(work)
    assert by_pace == pytest.approx(300, abs=5)
    assert by_tokens == pytest.approx(60, abs=5)


def test_who_is_cancelled_in_the_pace_line_gives_its_tokens_back() -> None:
    async def work() -> None:
        limits = Limits(Pace(0.1), TokenBudget(60_000))
        limits.settle(await limits.admit(REQUEST, 40_000), None)
        waiting = asyncio.create_task(limits.admit(REQUEST, 40_000))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(59):  # well before a minute is over
            limits.settle(await limits.admit(REQUEST, 40_000), None)

    on_fake_clock(work)


def test_open_lets_everyone_go() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        limits = Limits(Pace(0.01), TokenBudget(60_000))
        waiting = [asyncio.create_task(limits.admit(REQUEST, 30_000)) for _ in range(10)]
        await asyncio.sleep(1)
        start_s = loop.time()
        limits.open()
        for admission in await asyncio.gather(*waiting):
            limits.settle(admission, None)
        assert loop.time() - start_s < 0.001

    on_fake_clock(work)
