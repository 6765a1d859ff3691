"""Tokens per minute, counted as a provider counts them: by the minute, when the reply ends."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from clock import on_fake_clock
from windows import fullest

from runner.limits.token_budget import WINDOW_S, TokenBudget
from runner.records import Part, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT = 60_000
GUESSED_TOO_HIGH = 1.15


@dataclass
class Provider:
    """Refuses what comes while the minute's tokens and the input are above the limit."""

    limit: int
    ended: list[tuple[float, int]] = field(default_factory=list)  # (when, tokens)
    asked: list[tuple[float, int]] = field(default_factory=list)  # (when, tokens it will take)
    refused: int = 0
    _minute: deque[tuple[float, int]] = field(default_factory=deque)
    _tokens: int = 0

    def lets_in(self, now_s: float, prompt: int, completion: int) -> bool:
        while self._minute and self._minute[0][0] <= now_s - WINDOW_S:
            self._tokens -= self._minute.popleft()[1]
        if self._tokens + prompt > self.limit:
            self.refused += 1
            return False
        self.asked.append((now_s, prompt + completion))
        return True

    def ends(self, now_s: float, tokens: int) -> None:
        self.ended.append((now_s, tokens))
        self._minute.append((now_s, tokens))
        self._tokens += tokens

    def used(self, seconds: float) -> float:
        """Share of what was allowed from 0 to `seconds`."""
        total = sum(tokens for moment_s, tokens in self.ended if moment_s <= seconds)
        return total / (self.limit / 60 * seconds)

    @property
    def overrun(self) -> float:
        """The fullest minute above 101 % of the limit and one request."""
        largest = max(tokens for _, tokens in self.ended)
        return fullest(self.ended, WINDOW_S) - 1.01 * self.limit - largest


def long_prompts(chance: random.Random) -> tuple[int, int]:
    return round(100 * 20 ** chance.random()), chance.randint(20, 60)


def answers_as_long_as_prompts(chance: random.Random) -> tuple[int, int]:
    prompt = round(50 * 20 ** chance.random())
    return prompt, round(prompt * chance.uniform(0.8, 1.2))


def answers_that_nothing_foretells(chance: random.Random) -> tuple[int, int]:
    return chance.randint(50, 150), round(100 * 20 ** chance.random())


async def ask_for(
    seconds: float,
    lengths: Callable[[random.Random], tuple[int, int]],
    *,
    seed: int,
    limit: int = LIMIT,
    errors: float = 0.0,
    workers: int = 64,
    budgets: Sequence[TokenBudget] = (),
) -> Provider:
    """Rows without end, asked by many workers; replies take 1 to 3 s."""
    loop = asyncio.get_running_loop()
    chance, start_s = random.Random(seed), loop.time()
    provider, budgets = Provider(limit), budgets or [TokenBudget(limit)]

    async def work(budget: TokenBudget) -> None:
        while (now_s := loop.time() - start_s) < seconds:
            prompt, completion = lengths(chance)
            reservation = await budget.reserve(round(prompt * GUESSED_TOO_HIGH))
            now_s = loop.time() - start_s
            refused = not provider.lets_in(now_s, prompt, completion)
            if refused or chance.random() < errors:
                await asyncio.sleep(0.1)
                budget.settle(reservation, None, unknown=False)
                await asyncio.sleep(chance.uniform(1, 4))
                continue
            await asyncio.sleep(chance.uniform(1, 3))
            provider.ends(loop.time() - start_s, prompt + completion)
            usage = Usage(prompt, completion, prompt + completion)
            budget.settle(reservation, usage, unknown=False)

    async with asyncio.TaskGroup() as tasks:
        for number in range(workers):
            tasks.create_task(work(budgets[number % len(budgets)]))
    return provider


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "lengths", [long_prompts, answers_as_long_as_prompts, answers_that_nothing_foretells]
)
def test_no_minute_is_above_the_limit_and_nearly_all_of_it_is_used(
    lengths: Callable[[random.Random], tuple[int, int]], seed: int
) -> None:
    provider = on_fake_clock(lambda: ask_for(300, lengths, seed=seed))
    assert provider.overrun <= 0
    assert provider.used(300) >= 0.97
    assert provider.refused <= 0.01 * len(provider.asked)


@pytest.mark.parametrize("limit", [1_000_000, 3_000_000])
def test_a_large_limit_is_held_closer(limit: int) -> None:
    provider = on_fake_clock(
        lambda: ask_for(180, answers_as_long_as_prompts, seed=4, limit=limit, workers=300)
    )
    assert fullest(provider.ended, WINDOW_S) <= 1.01 * limit
    assert provider.used(180) >= 0.97
    assert provider.refused == 0


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_that_share_a_limit_hold_it_together(runs: int) -> None:
    async def work() -> Provider:
        budgets = [TokenBudget(LIMIT) for _ in range(runs)]
        for place, budget in enumerate(budgets):
            budget.resize(LIMIT, Part(place, runs))
        return await ask_for(300, answers_as_long_as_prompts, seed=5, budgets=budgets)

    provider = on_fake_clock(work)
    assert provider.overrun <= 0
    assert provider.used(300) >= 0.93
    assert provider.refused <= 0.01 * len(provider.asked)


@pytest.mark.parametrize(("before", "after"), [(LIMIT, 12_000), (12_000, LIMIT)])
def test_a_changed_limit_holds_once_a_minute_has_passed_and_is_used(
    before: int, after: int
) -> None:
    async def work() -> Provider:
        budget = TokenBudget(before)
        larger = max(before, after)
        asking = asyncio.create_task(
            ask_for(
                300, answers_as_long_as_prompts, seed=6, limit=larger, budgets=[budget], workers=30
            )
        )
        await asyncio.sleep(120)
        budget.resize(after, Part())
        return await asking

    provider = on_fake_clock(work)
    assert provider.overrun <= 0
    largest = max(tokens for _, tokens in provider.ended)
    # Replies on their way at the change still land.
    late = [(moment_s, tokens) for moment_s, tokens in provider.ended if moment_s > 124]
    assert fullest(late, WINDOW_S) <= 1.01 * after + largest
    assert sum(tokens for _, tokens in late) >= 0.9 * after * (300 - 124 - 60) / 60
    assert fullest(late, 1.0) <= 2 * (after + 12_000) / 60 + 2 * largest, "no burst at a raise"


def test_a_run_may_ask_for_more_than_its_part_if_the_whole_allows_it() -> None:
    async def work() -> float:
        budget = TokenBudget(LIMIT)
        budget.resize(LIMIT, Part(0, 4))
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        reservation = await budget.reserve(40_000)
        budget.settle(reservation, Usage(40_000, 10, 40_010), unknown=False)
        await budget.reserve(100)
        return loop.time() - start_s

    assert 60 <= on_fake_clock(work) <= 40_000 / (LIMIT / 4) * 60


def test_failures_give_back_what_they_reserved() -> None:
    provider = on_fake_clock(lambda: ask_for(300, answers_as_long_as_prompts, seed=5, errors=0.3))
    assert provider.overrun <= 0
    assert provider.used(300) >= 0.96


@pytest.mark.parametrize("seed", [6])
def test_no_burst_at_the_start(seed: int) -> None:
    provider = on_fake_clock(lambda: ask_for(30, answers_as_long_as_prompts, seed=seed))
    first = sum(tokens for moment_s, tokens in provider.asked if moment_s < 5)
    assert first <= LIMIT / 60 * 5 * 1.2 + 2000
    gone_at_once = [moment_s for moment_s, _ in provider.asked if moment_s == 0]
    assert len(gone_at_once) <= 1


def test_no_burst_after_a_rest() -> None:
    async def work() -> int:
        budget, loop = TokenBudget(LIMIT), asyncio.get_running_loop()
        for _ in range(20):
            reservation = await budget.reserve(100)
            budget.settle(reservation, Usage(100, 0, 100), unknown=False)
        await asyncio.sleep(200)
        start_s, count = loop.time(), 0
        while loop.time() < start_s + 1:
            reservation = await budget.reserve(100)
            budget.settle(reservation, Usage(100, 0, 100), unknown=False)
            count += 1
        return count * 100

    assert on_fake_clock(work) <= LIMIT / 60 * 1.2 + 200


def test_few_are_out_before_anyone_knows_what_an_answer_takes() -> None:
    async def work() -> tuple[int, int]:
        budget = TokenBudget(LIMIT)
        reserving = [asyncio.create_task(budget.reserve(20)) for _ in range(100)]
        await asyncio.sleep(59)
        before = [task for task in reserving if task.done()]
        for task in before:
            budget.settle(task.result(), Usage(20, 30, 50), unknown=False)
        await asyncio.sleep(59)
        after = sum(task.done() for task in reserving)
        for task in reserving:
            task.cancel()
        await asyncio.gather(*reserving, return_exceptions=True)
        return len(before), after

    before, after = on_fake_clock(work)
    assert before == LIMIT // 4000
    assert after > 2 * before


@pytest.mark.parametrize("guess", [50_000, 60_000, 68_000, 1_000_000])
def test_a_request_as_large_as_the_limit_gets_through(guess: int) -> None:
    async def work() -> None:
        budget = TokenBudget(LIMIT)
        small = await budget.reserve(100)
        large = asyncio.create_task(budget.reserve(guess))
        await asyncio.sleep(1)
        budget.settle(small, Usage(100, 500, 600), unknown=False)
        async with asyncio.timeout(150):
            budget.settle(await large, Usage(50_000, 5000, 55_000), unknown=False)
            after = await budget.reserve(100)
        budget.settle(after, None, unknown=False)

    on_fake_clock(work)


def test_small_requests_do_not_starve_a_large_one() -> None:
    async def work() -> float:
        budget, loop = TokenBudget(LIMIT), asyncio.get_running_loop()

        async def ask_small() -> None:
            while True:
                reservation = await budget.reserve(100)
                await asyncio.sleep(1)
                budget.settle(reservation, Usage(100, 100, 200), unknown=False)

        crowd = [asyncio.create_task(ask_small()) for _ in range(50)]
        await asyncio.sleep(120)
        start_s = loop.time()
        large = await budget.reserve(20_000)
        waited_s = loop.time() - start_s
        budget.settle(large, None, unknown=False)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        return waited_s

    assert on_fake_clock(work) < 60


def test_what_an_answer_takes_beyond_its_reservation_is_a_debt_that_others_wait_for() -> None:
    async def work() -> float:
        budget, loop = TokenBudget(LIMIT), asyncio.get_running_loop()
        for _ in range(50):
            reservation = await budget.reserve(100)
            budget.settle(reservation, Usage(100, 100, 200), unknown=False)
        large = await budget.reserve(100)
        budget.settle(large, Usage(100, 40_000, 40_100), unknown=False)
        start_s = loop.time()
        budget.settle(await budget.reserve(100), None, unknown=False)
        return loop.time() - start_s

    assert on_fake_clock(work) == pytest.approx(40_000 / (LIMIT / 60), rel=0.25)


def test_an_attempt_billed_without_known_usage_stays_reserved_for_its_minute() -> None:
    async def work() -> tuple[float, float]:
        waits: list[float] = []
        for unknown in (False, True):
            budget, loop = TokenBudget(LIMIT), asyncio.get_running_loop()
            large = await budget.reserve(50_000)
            budget.settle(large, None, unknown=unknown)
            start_s = loop.time()
            next_ = await budget.reserve(50_000)
            budget.settle(next_, None, unknown=False)
            waits.append(loop.time() - start_s)
        return waits[0], waits[1]

    refunded_s, kept_s = on_fake_clock(work)
    assert refunded_s < 50
    assert kept_s >= WINDOW_S


@pytest.mark.parametrize("seed", [7])
def test_who_gives_up_waiting_leaves_nothing_behind(seed: int) -> None:
    async def work() -> None:
        budget = TokenBudget(LIMIT)
        chance = random.Random(seed)
        for _ in range(300):
            crowd = [asyncio.create_task(budget.reserve(30_000)) for _ in range(3)]
            await asyncio.sleep(chance.uniform(0, 2))
            for task in crowd:
                if not task.cancel():
                    budget.settle(task.result(), None, unknown=False)
            for outcome in await asyncio.gather(*crowd, return_exceptions=True):
                assert not isinstance(outcome, Exception)
        async with asyncio.timeout(120):
            reservation = await budget.reserve(50_000)
        budget.settle(reservation, None, unknown=False)

    on_fake_clock(work)


def test_open_lets_everyone_go_at_once_wherever_they_wait() -> None:
    async def work() -> float:
        budget, loop = TokenBudget(LIMIT), asyncio.get_running_loop()
        crowd = [asyncio.create_task(budget.reserve(30_000)) for _ in range(20)]
        await asyncio.sleep(10)
        start_s = loop.time()
        budget.open()
        budget.open()
        await asyncio.gather(*crowd)
        await budget.reserve(1_000_000)
        return loop.time() - start_s

    assert on_fake_clock(work) < 0.001
