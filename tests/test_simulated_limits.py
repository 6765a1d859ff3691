"""The stand-in server's throttling, on a clock of the test's own."""

from __future__ import annotations

from random import Random

import pytest

from runner.simulator.limits import Gate, Window
from runner.simulator.settings import SimulatorSettings


def let_in(gate: Gate, times: list[float]) -> list[float]:
    return [t for t in times if gate.admit(t, 0) is None]


def test_a_window_is_exact_against_counting_by_hand() -> None:
    dice = Random(7)
    now, window, events = 0.0, Window(1.0), []
    worst = 0
    for _ in range(2_000):
        now += dice.expovariate(40)
        amount = dice.randint(1, 9)
        events.append((now, amount))
        window.add(now, amount)
        by_hand = sum(a for t, a in events if t > now - 1.0)
        assert window.total == by_hand
        worst = max(worst, by_hand)
    assert window.largest == worst


def test_no_second_lets_in_more_than_the_limit_and_a_refusal_uses_nothing() -> None:
    gate = Gate(SimulatorSettings(qps=10))
    accepted = let_in(gate, [i / 128 for i in range(640)])  # exact in binary
    assert all(sum(t - 1 < u <= t for u in accepted) <= 10 for t in accepted)
    assert len(accepted) == 50


@pytest.mark.parametrize(("qps", "seconds", "expected"), [(0.5, 10, 5), (2.5, 10, 25)])
def test_fractions_hold_over_a_longer_span(qps: float, seconds: int, expected: int) -> None:
    gate = Gate(SimulatorSettings(qps=qps))
    assert len(let_in(gate, [i / 50 for i in range(seconds * 50)])) == expected


@pytest.mark.parametrize(("qps", "most"), [(16.67, 17), (2.5, 3), (1.01, 2)])
def test_a_fraction_holds_in_any_second_too(qps: float, most: int) -> None:
    gate = Gate(SimulatorSettings(qps=qps))
    assert len(let_in(gate, [0.0] * 2_000)) == most
    accepted = let_in(gate, [1 + i / 128 for i in range(1_280)])
    assert all(sum(t - 1 < u <= t for u in accepted) <= most for t in accepted)


def test_an_even_pace_at_the_limit_is_never_throttled() -> None:
    gate = Gate(SimulatorSettings(qps=50, rpm=3_000))
    assert len(let_in(gate, [i / 50 for i in range(6_000)])) == 6_000


def test_requests_per_minute_hold_in_any_minute() -> None:
    gate = Gate(SimulatorSettings(rpm=60))
    assert len(let_in(gate, [i / 10 for i in range(1_200)])) == 120


def test_tokens_count_when_settled_and_are_forgotten_after_a_minute() -> None:
    gate = Gate(SimulatorSettings(tpm=1_000))
    assert gate.admit(0.0, 100) is None
    gate.settle(1.0, 950)
    assert gate.admit(2.0, 100) == "insufficient_quota"
    assert gate.admit(2.0, 50) is None
    assert gate.admit(60.9, 100) == "insufficient_quota"
    assert gate.admit(61.1, 100) is None


def test_sudden_growth_is_a_burst_and_steady_growth_is_not() -> None:
    sudden = Gate(SimulatorSettings(growth=2))
    answers = [sudden.admit(i / 100, 0) for i in range(100)]
    assert answers.count("limit_burst_rate") == 80
    assert sudden.burst_over_in_s(1.0) == pytest.approx(0.0, abs=0.01)

    steady, now = Gate(SimulatorSettings(growth=2)), 0.0
    refused = 0
    while now < 60:
        refused += steady.admit(now, 0) is not None
        now += 1 / (15 * 1.03**now)
    assert refused == 0
