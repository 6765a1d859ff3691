"""Everybody slows down when throttling is the rule, and only then; and only while it helps."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from clock import on_fake_clock
from pool import Pool
from scripted_client import reply, throttled
from windows import most_in_a_second

from runner.limits import Limits, Pace
from runner.throttling import FEWEST, Throttling, is_rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_client import Asked, Step


@dataclass
class Dial:
    """A pace that only notes how it was turned."""

    share: float = 1.0
    climb_left_s: float = 0.0
    turned: list[tuple[float, float, float]] = field(default_factory=list)

    def climb_from(self, share: float, over_s: float, *, after_s: float = 0.0) -> None:
        self.turned.append((round(share, 4), round(over_s, 3), after_s))
        self.share, self.climb_left_s = share, over_s


class Bench:
    """Throttling with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.dial = Dial()
        self.throttling = Throttling(self.dial, lambda: self.now_s)

    def second(self, attempts: int, of_them: int, *, burst: bool = False) -> None:
        """A second of attempts, each sent just before it ended, throttled ones spread evenly."""
        for at in range(attempts):
            self.now_s += 1 / attempts
            hit = (at + 1) * of_them // attempts > at * of_them // attempts
            self.throttling.attempt_ended(self.now_s, throttled=hit, burst=hit and burst)


@pytest.mark.parametrize(
    ("attempts", "hits", "expected"),
    [
        (20, 4, False),
        (20, 7, False),  # by chance, every few minutes
        (20, 9, True),
        (200, 41, False),
        (200, 42, True),
        (1000, 200, False),
        (1000, 201, True),
        (5000, 1001, True),
    ],
)
def test_the_rule_is_more_than_a_fifth_and_more_than_chance(
    attempts: int, hits: int, expected: bool
) -> None:
    assert is_rule(attempts, hits) == expected


def test_a_fifth_is_no_reason_and_a_third_is() -> None:
    bench = Bench()
    for _ in range(10):
        bench.second(500, 95)
    assert bench.dial.turned == []
    bench.second(500, 170)
    assert bench.dial.turned[0][1:] == (60, 1)
    assert bench.dial.turned[0][0] == pytest.approx(0.7, abs=0.01)


def test_a_slow_pace_is_judged_by_its_last_attempts() -> None:
    bench = Bench()
    for _ in range(FEWEST - 1):
        bench.second(1, 1)
    assert bench.dial.turned == []
    bench.second(1, 1)
    assert len(bench.dial.turned) == 1


def test_a_slow_pace_that_was_well_for_long_is_judged_by_more() -> None:
    bench = Bench()
    for _ in range(400):
        bench.second(1, 0)
    for _ in range(41):
        bench.second(1, 1)
    assert bench.dial.turned == []
    bench.second(1, 1)
    assert len(bench.dial.turned) == 1


def test_the_first_second_says_nothing_since_some_are_always_let_in() -> None:
    bench = Bench()
    bench.second(100, 99)
    assert bench.dial.turned == []
    bench.second(100, 99)
    assert bench.dial.turned[0][0] == pytest.approx(0.01, abs=0.01)


def test_goes_on_with_what_was_let_through_where_that_is_less() -> None:
    bench = Bench()
    bench.second(100, 75)
    bench.second(100, 75)
    assert bench.dial.turned[0][0] < 0.4


def test_a_burst_climbs_back_more_slowly() -> None:
    bench = Bench()
    bench.second(100, 50, burst=True)
    bench.second(100, 50, burst=True)
    assert bench.dial.turned[0][1:] == (180, 1)


def test_attempts_sent_before_the_cut_say_nothing_about_it() -> None:
    bench = Bench()
    bench.second(100, 50)
    bench.second(2, 1)
    assert len(bench.dial.turned) == 1
    before_s = bench.now_s
    bench.now_s += 5
    for _ in range(1000):
        bench.throttling.attempt_ended(before_s, throttled=True)
    assert len(bench.dial.turned) == 1


def test_a_cut_that_halves_the_share_stays() -> None:
    bench = Bench()
    bench.second(100, 50)
    bench.second(2, 1)
    bench.now_s += 1
    for _ in range(20):
        bench.second(70, 5)
    assert len(bench.dial.turned) == 1


def test_a_cut_that_does_not_is_undone_and_not_soon_tried_again() -> None:
    bench = Bench()
    bench.second(100, 40)
    bench.now_s += 1
    for _ in range(40):
        bench.second(100, 40)
    cut, undone = bench.dial.turned
    assert cut[0] < 1
    assert undone == (1.0, 0.0, 0.0)
    for _ in range(30):
        bench.second(100, 40)
    assert len(bench.dial.turned) == 4  # once more after a minute, in vain
    for _ in range(110):
        bench.second(100, 40)
    assert len(bench.dial.turned) == 4  # and then only after two


def test_undoing_returns_to_where_a_ramp_would_be_by_now() -> None:
    bench = Bench()
    bench.dial.share, bench.dial.climb_left_s = 0.4, 40.0
    bench.second(100, 40)
    cut_at_s = bench.now_s
    bench.now_s += 1
    while len(bench.dial.turned) < 2:
        bench.second(100, 40)
    gone_s = bench.now_s - cut_at_s
    share, left_s, _ = bench.dial.turned[1]
    assert share == pytest.approx(0.4 + 0.6 * gone_s / 40, abs=0.05)
    assert left_s == pytest.approx(40 - gone_s, abs=3)


# Together with the pace, against a provider


def limited_to(per_second: float) -> Callable[[Asked], Step]:
    """Lets in so many in any second."""
    let_in: deque[float] = deque()

    def script(asked: Asked) -> Step:
        while let_in and let_in[0] <= asked.at_s - 1:
            let_in.popleft()
        if len(let_in) >= per_second:
            return throttled()
        let_in.append(asked.at_s)
        return reply()

    return script


def at_random(share: float, seed: int) -> Callable[[Asked], Step]:
    chance = random.Random(seed)
    return lambda _: throttled() if chance.random() < share else reply()


async def ask_for(seconds: float, per_second: float, script: Callable[[Asked], Step]) -> Pool:
    pace = Pace(per_second)
    throttling = Throttling(pace, asyncio.get_running_loop().time)
    rows = int(per_second * seconds * 1.2)
    pool = Pool(
        rows, script, workers=64, limits=Limits(pace, None), throttling=throttling, latency_s=0.2
    )
    pool.start()
    await asyncio.sleep(seconds)
    for task in pool.tasks:
        task.cancel()
    await asyncio.gather(*pool.tasks, return_exceptions=True)
    return pool


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("per_second", [3, 20, 100, 300])
def test_a_tenth_of_random_throttles_costs_no_pace(per_second: float, seed: int) -> None:
    pool = on_fake_clock(lambda: ask_for(60, per_second, at_random(0.1, seed)))
    sent_s = [asked.at_s for asked in pool.client.sent]
    assert len(sent_s) >= 0.98 * per_second * 60 - 1
    assert most_in_a_second(sent_s) <= per_second * 1.01 + 1


def test_random_throttles_that_no_pace_would_prevent_cost_little() -> None:
    pool = on_fake_clock(lambda: ask_for(180, 50, at_random(0.4, seed=4)))
    assert len(pool.client.sent) >= 0.95 * 50 * 180


@pytest.mark.parametrize("allowed", [0.75, 0.5, 0.2])
def test_a_limit_below_the_pace_is_found_and_used(allowed: float) -> None:
    pool = on_fake_clock(lambda: ask_for(240, 50, limited_to(50 * allowed)))
    answered = len(pool.results)
    share_throttled = 1 - answered / len(pool.client.sent)
    assert share_throttled < 0.3  # unslowed: 1 - allowed
    assert answered >= 0.75 * 50 * allowed * 240


def test_the_pace_is_never_above_what_was_asked_for() -> None:
    pool = on_fake_clock(lambda: ask_for(120, 50, limited_to(40)))
    assert most_in_a_second(asked.at_s for asked in pool.client.sent) <= 51
