from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from runner.account import LEASE_STEP, MOST_AT_RISK, Account
from runner.budget import Budget

if TYPE_CHECKING:
    from runner.stake import Stake

MOST = 1000


class Till:
    """A budget of 1,000 tokens with its results on disk at once, and what it told."""

    def __init__(self, most: int = MOST, *, billed: int = 0, lost: int = 0) -> None:
        self.on_disk = billed
        self.reached: list[int] = []
        self.covered: list[int] = []
        self.account = Account(
            1, "tokens", most, lambda: self.on_disk, billed=billed, lost=lost, covered=lost
        )
        self.budget = Budget(
            (self.account,), cover=self._cover, reached=lambda _, worst: self.reached.append(worst)
        )

    def _cover(self, accounts: tuple[Account, ...]) -> None:
        (account,) = accounts
        account.covered = account.next_cover()
        self.covered.append(account.covered)

    def land(self) -> None:
        """Everything billed has its result on disk now."""
        self.on_disk = self.account.billed
        self.budget.serve()


async def settle_all() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_attempt_starts_when_its_worst_case_fits() -> None:
    till = Till()
    with await till.budget.admit((0, 1000)) as stake:
        assert till.account.left == 0
        stake.sent()
        stake.billed((0, 400))
    assert (till.account.billed, till.account.left) == (400, 600)


async def test_one_that_does_not_fit_waits_for_those_on_their_way() -> None:
    till = Till(100 * MOST_AT_RISK)  # so that prudence is not what it waits for
    first = await till.budget.admit((0, 100 * MOST_AT_RISK - 50))
    waiting = asyncio.create_task(till.budget.admit((0, 60)))
    await settle_all()
    assert till.budget.waiting == 1
    first.sent()
    first.billed((0, 100))
    assert (await waiting).amount == (0, 60)
    assert not till.reached


async def test_with_nothing_on_its_way_the_end_is_told_once_and_everyone_is_let_go() -> None:
    till = Till(billed=990)
    first = await till.budget.admit((0, 10))
    waiting = [asyncio.create_task(till.budget.admit((0, 20))) for _ in range(3)]
    await settle_all()
    assert not till.reached
    with first:
        first.sent()
        first.billed((0, 5))
    for stake in await asyncio.gather(*waiting):
        assert stake.amount == (0, 0)
        stake.not_billed()
    assert till.reached == [20]
    assert (await till.budget.admit((0, 1))).amount == (0, 0), "nothing is admitted any more"


async def test_a_spent_budget_ends_before_the_first_attempt() -> None:
    till = Till(billed=1000)
    await till.budget.admit((0, 1))
    assert till.reached == [1]
    assert not till.covered


async def test_what_was_sent_and_never_settled_is_charged_in_full() -> None:
    till = Till()
    with await till.budget.admit((0, 300)) as stake:
        stake.sent()
    assert (till.account.lost, till.account.billed, till.account.in_flight) == (300, 0, 0)


async def test_what_was_never_sent_or_was_refused_costs_nothing() -> None:
    till = Till()
    with await till.budget.admit((0, 300)):
        pass
    with await till.budget.admit((0, 300)) as stake:
        stake.sent()
        stake.not_billed()
    assert till.account.left == MOST
    assert till.account.lost == 0


async def test_an_attempt_that_is_cancelled_is_charged_in_full() -> None:
    till = Till()

    async def attempt() -> None:
        with await till.budget.admit((0, 300)) as stake:
            stake.sent()
            await asyncio.Event().wait()

    task = asyncio.create_task(attempt())
    await settle_all()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert till.account.lost == 300


async def test_a_waiter_that_is_cancelled_keeps_nothing() -> None:
    till = Till()
    first = await till.budget.admit((0, 900))
    waiting = asyncio.create_task(till.budget.admit((0, 200)))
    await settle_all()
    first.sent()
    first.billed((0, 10))  # the waiter has its stake now, and is cancelled before it can run
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert till.account.in_flight == 0


async def test_waiters_are_served_in_order_of_arrival() -> None:
    till = Till()
    first = await till.budget.admit((0, 900))
    order: list[int] = []

    async def take(worst: int) -> None:
        stake = await till.budget.admit((0, worst))
        order.append(worst)
        stake.not_billed()

    tasks = [asyncio.create_task(take(worst)) for worst in (500, 1, 400, 2)]
    await settle_all()
    assert not order, "the small ones do not slip past the large one"
    first.not_billed()
    await asyncio.gather(*tasks)
    assert order == [500, 1, 400, 2]


async def test_no_more_than_a_part_of_the_budget_is_at_risk_but_one_attempt_always_may() -> None:
    till = Till()
    worst = MOST // MOST_AT_RISK // 5
    stakes = [await till.budget.admit((0, worst)) for _ in range(5)]
    waiting = asyncio.create_task(till.budget.admit((0, worst)))
    await settle_all()
    assert till.budget.waiting == 1
    for stake in stakes:
        stake.sent()
        stake.billed((0, worst))  # at risk until its result is on disk
    (await waiting).not_billed()
    till.land()
    assert (await till.budget.admit((0, 900))).amount == (0, 900)


async def test_results_on_disk_make_room_for_those_that_wait() -> None:
    till = Till()
    worst = MOST // MOST_AT_RISK // 2
    done, going = [await till.budget.admit((0, worst)) for _ in range(2)]
    done.sent()
    done.billed((0, worst))
    waiting = asyncio.create_task(till.budget.admit((0, worst)))
    await settle_all()
    assert till.budget.waiting == 1
    till.land()
    (await waiting).not_billed()
    going.not_billed()


async def test_the_lease_covers_what_is_at_risk_before_it_is_risked_and_is_written_seldom() -> None:
    till = Till(100_000)
    for _ in range(1000):
        with await till.budget.admit((0, 100)) as stake:
            assert till.account.to_cover <= till.account.covered
            stake.sent()
            stake.billed((0, 30))
        till.land()
    assert len(till.covered) == 1
    for lost in range(300):
        with await till.budget.admit((0, 100)) as stake:
            assert till.account.to_cover <= till.account.covered, lost
            stake.sent()
    assert len(till.covered) <= 2 + 300 * 100 // (100_000 // LEASE_STEP)


async def test_a_lease_that_cannot_be_written_lets_nothing_out() -> None:
    def fail(accounts: tuple[Account, ...]) -> None:
        raise OSError(f"no disk for {len(accounts)}")

    account = Account(1, "tokens", MOST, lambda: 0, billed=0)
    budget = Budget((account,), cover=fail, reached=lambda *_: None)
    with pytest.raises(OSError, match="no disk"):
        await budget.admit((0, 10))
    assert account.in_flight == 0


async def test_without_a_cover_nothing_is_written() -> None:
    account = Account(1, "tokens", MOST, lambda: 0, billed=0)
    budget = Budget((account,), cover=None, reached=lambda *_: None)
    assert (await budget.admit((0, 10))).amount == (0, 10)


async def test_each_of_two_limits_holds() -> None:
    reached: list[str] = []
    money = Account(0, "USD", 10**12, lambda: 0, billed=0)
    tokens = Account(1, "tokens", 100, lambda: 0, billed=0)
    budget = Budget((money, tokens), cover=None, reached=lambda one, _: reached.append(one.unit))
    with await budget.admit((10**10, 90)) as stake:
        stake.sent()
        stake.billed((10**9, 90))
    assert (money.billed, tokens.billed) == (10**9, 90)
    await budget.admit((10**10, 20))
    assert reached == ["tokens"]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_attempts_do_the_limit_holds_and_is_used(seed: int) -> None:
    dice = random.Random(seed)
    till = Till(100_000)
    bill = 0

    async def attempt(stake: Stake) -> None:
        nonlocal bill
        with stake:
            if stake.amount == (0, 0):
                return
            await asyncio.sleep(0)
            stake.sent()
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            taken = dice.choice([1, dice.randrange(1, 200), 1000])
            end = dice.random()
            if end < 0.05:
                stake.not_billed()
                return
            bill += taken
            assert bill <= 100_000
            if end < 0.98:
                stake.billed((0, taken))
        assert till.account.to_cover <= till.account.covered

    async def worker() -> None:
        while not till.reached:
            await attempt(await till.budget.admit((0, 1000)))
            if dice.random() < 0.3:
                till.land()

    await asyncio.gather(*(worker() for _ in range(16)))
    account = till.account
    assert account.in_flight == 0
    assert account.billed + account.lost <= 100_000
    assert account.billed + account.lost > 100_000 - 1000, "less than one worst case is left"
