"""When a row is asked again, and when it has failed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import tenacity
import tenacity.wait

from runner.records import Action, Verdict
from runner.retry import LONGEST_WAIT_S, MAX_THROTTLES, SHORTEST_WAIT_S, Attempts, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = 20261124

THROTTLED = Verdict(Action.THROTTLED, "throttled", "m")
SERVER = Verdict(Action.AGAIN, "server_error", "m", outage=True)
TIMEOUT = Verdict(Action.AGAIN, "timeout", "m")
INCOMPLETE = Verdict(Action.AGAIN, "incomplete", "m")


def policy(max_attempts: int = 6, seed: int = SEED) -> RetryPolicy:
    return RetryPolicy(max_attempts, random.Random(seed))


def tries(verdicts: Iterable[Verdict], max_attempts: int = 6) -> list[bool]:
    """For each failure of one row in turn, whether it is asked again."""
    attempts, decider = Attempts(), policy(max_attempts)
    return [decider.next_wait_s(attempts, verdict) is not None for verdict in verdicts]


@pytest.mark.parametrize(
    ("verdicts", "max_attempts", "again"),
    [
        ([SERVER] * 6, 6, [True] * 5 + [False]),
        ([SERVER], 1, [False]),
        ([SERVER] * 2, 2, [True, False]),
        ([TIMEOUT] * 2, 6, [True, False]),
        ([TIMEOUT], 1, [False]),
        ([INCOMPLETE] * 2, 6, [True, False]),
        ([TIMEOUT, INCOMPLETE, TIMEOUT], 6, [True, True, False]),
        ([TIMEOUT, SERVER, SERVER, INCOMPLETE], 4, [True, True, True, False]),
        ([THROTTLED] * 20 + [SERVER] * 2, 2, [True] * 20 + [True, False]),
        ([SERVER, THROTTLED, SERVER, THROTTLED, SERVER], 3, [True] * 4 + [False]),
        ([THROTTLED] * MAX_THROTTLES, 6, [True] * (MAX_THROTTLES - 1) + [False]),
        ([THROTTLED] * 5, 1, [True] * 5),
    ],
)
def test_how_often_a_row_is_asked_again(
    verdicts: list[Verdict], max_attempts: int, again: list[bool]
) -> None:
    assert tries(verdicts, max_attempts) == again


@pytest.mark.parametrize("action", [Action.FAIL, Action.CONFIG, Action.STOP])
def test_what_is_not_to_be_tried_again_uses_nothing_up(action: Action) -> None:
    attempts = Attempts()
    assert policy().next_wait_s(attempts, Verdict(action, "other", "m")) is None
    assert attempts == Attempts()


def test_counts_each_kind_of_failure() -> None:
    attempts, decider = Attempts(), policy()
    for verdict in (THROTTLED, SERVER, TIMEOUT, INCOMPLETE, THROTTLED):
        decider.next_wait_s(attempts, verdict)
    assert attempts == Attempts(counted=3, timeouts=1, incomplete=1, throttles=2)


@pytest.mark.parametrize("verdict", [THROTTLED, SERVER])
def test_the_range_of_the_wait_doubles_from_1_to_60_seconds(verdict: Verdict) -> None:
    waits: list[list[float]] = [[] for _ in range(9)]
    for seed in range(400):
        attempts, decider = Attempts(), policy(max_attempts=100, seed=seed)
        for at in range(9):
            wait_s = decider.next_wait_s(attempts, verdict)
            assert wait_s is not None
            waits[at].append(wait_s)
    for highest_s, seen in zip([2, 4, 8, 16, 32, 60, 60, 60, 60], waits, strict=True):
        assert SHORTEST_WAIT_S <= min(seen) < 1 + 0.05 * highest_s
        assert 0.95 * highest_s < max(seen) <= highest_s <= LONGEST_WAIT_S
        assert sum(seen) / len(seen) == pytest.approx((1 + highest_s) / 2, rel=0.1)


def test_throttles_and_errors_widen_their_ranges_apart() -> None:
    attempts, decider = Attempts(), policy(max_attempts=100)
    for _ in range(8):
        decider.next_wait_s(attempts, THROTTLED)
    wait_s = decider.next_wait_s(attempts, SERVER)
    assert wait_s is not None
    assert wait_s <= 2


def test_the_same_seed_gives_the_same_waits_whatever_others_draw() -> None:
    def waits(seed: int) -> list[float | None]:
        attempts, decider = Attempts(), policy(seed=seed)
        random.seed(0)
        return [decider.next_wait_s(attempts, THROTTLED) for _ in range(5)]

    assert waits(SEED) == waits(SEED)
    assert waits(SEED) != waits(SEED + 1)


def test_two_processes_with_a_seeded_global_generator_do_not_come_back_together() -> None:
    def first_wait() -> float | None:
        random.seed(0)
        return RetryPolicy(6).next_wait_s(Attempts(), THROTTLED)

    assert first_wait() != first_wait()


@pytest.mark.parametrize(("asked_s", "least_s"), [(20.0, 20.0), (300.0, 300.0), (0.0, 1.0)])
def test_retry_after_is_the_least_that_is_waited(asked_s: float, least_s: float) -> None:
    verdict = Verdict(Action.THROTTLED, "throttled", "m", retry_after_s=asked_s)
    wait_s = policy().next_wait_s(Attempts(), verdict)
    assert wait_s is not None
    assert least_s <= wait_s <= max(asked_s, 2.0)


def test_the_waits_are_those_of_tenacitys_own_random_exponential(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tenacity.wait, "random", random.Random(SEED))
    theirs = tenacity.wait_random_exponential(
        multiplier=2 * SHORTEST_WAIT_S, min=SHORTEST_WAIT_S, max=LONGEST_WAIT_S
    )
    attempts, decider = Attempts(), policy()
    for number in range(1, 30):
        state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})
        state.attempt_number = number
        assert decider.next_wait_s(attempts, THROTTLED) == theirs(state)
