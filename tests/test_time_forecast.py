from __future__ import annotations

from dataclasses import replace

import pytest

from runner.estimate.ranges import Range
from runner.estimate.time_forecast import Course, Load, forecast_time
from runner.limits import SHARE
from runner.pacing import ChosenLimits

LOAD = Load(requests=6000, tokens=Range(1_000_000, 4_000_000), answer_tokens=Range(50, 500))
LIMITS = ChosenLimits(
    per_second=10, ramp=False, tokens_per_minute=None, workers=1000, notes=("a limit",)
)


def course(limits: ChosenLimits = LIMITS, load: Load = LOAD, latency_s: float | None = 2) -> Course:
    measured = None if latency_s is None else (Range(latency_s, latency_s), "measured")
    return forecast_time(load, limits, account_per_s=10, measured=measured)


def test_a_pace_takes_requests_over_pace_and_the_last_answer() -> None:
    found = course()
    assert found.seconds.low == pytest.approx(6000 / (10 * SHARE) + 2)
    assert found.seconds.low == found.seconds.high
    assert found.binding == ("requests",)
    assert found.notes == ("a limit",)


def test_climbing_to_the_pace_costs_a_fixed_time_once_it_is_reached() -> None:
    slow = course(replace(LIMITS, ramp=True))
    # from a tenth, evenly over a minute: 45 % of it is lost
    assert slow.seconds.low == pytest.approx(course().seconds.low + 0.45 * 60)


@pytest.mark.parametrize("requests", [1, 10, 100, 326, 327, 400])
def test_a_run_that_ends_while_climbing_is_summed_over_the_climb(requests: int) -> None:
    found = course(replace(LIMITS, ramp=True), replace(LOAD, requests=requests))
    sent = at_s = 0.0
    while sent < requests:
        sent += 0.001 * 10 * SHARE * min(1.0, 0.1 + 0.9 * at_s / 60)
        at_s += 0.001
    assert found.seconds.low == pytest.approx(at_s + 2, rel=0.01)


def test_tokens_bind_where_they_take_longer_also_at_one_end_alone() -> None:
    found = course(replace(LIMITS, tokens_per_minute=150_000))
    assert found.binding == ("requests", "tokens")
    assert found.seconds.high == pytest.approx(4_000_000 / (150_000 * SHARE / 60) + 2)


def test_workers_bind_where_there_are_too_few() -> None:
    found = course(replace(LIMITS, workers=10))
    assert found.binding == ("workers",)
    assert found.seconds.low == pytest.approx(6000 / 10 * 2)


def test_fewer_requests_than_workers_never_wait_for_one() -> None:
    found = course(replace(LIMITS, workers=7000), latency_s=100_000)
    assert found.binding == ("requests",)


def test_it_takes_pace_times_latency_in_flight() -> None:
    assert course().in_flight == Range(20, 20)
    assert course(replace(LIMITS, workers=3)).in_flight == Range(20, 20)
    assert course(load=replace(LOAD, requests=5)).in_flight == Range(5, 5)


def test_without_any_pace_no_number_in_flight_is_needed() -> None:
    found = course(replace(LIMITS, per_second=None, workers=64))
    assert found.in_flight == Range(0, 0)
    assert found.binding == ("workers",)


def test_latency_is_assumed_from_the_answers_length_and_says_so() -> None:
    found = course(latency_s=None)
    assert 0 < found.latency.low < 2 < found.latency.high
    assert "assumed" in found.latency_source
    assert "--latency" in found.latency_source
    assert course().latency_source == "measured"


def test_other_paces_are_compared_and_those_above_the_account_marked() -> None:
    paces = course().paces
    assert [pace.per_second for pace in paces] == [5, 10, 20]
    assert [pace.above_limit for pace in paces] == [False, False, True]
    assert paces[1].label == "the account's limit"
    assert paces[0].seconds.low == pytest.approx(6000 / (5 * SHARE) + 2)
    assert paces[0].in_flight == Range(10, 10)
    limited = course(replace(LIMITS, tokens_per_minute=150_000)).paces
    assert limited[2].binding == ("tokens",)


def test_where_the_accounts_limit_is_unknown_none_is_made_up() -> None:
    found = forecast_time(LOAD, LIMITS, account_per_s=None, measured=(Range(1, 1), "measured"))
    assert [pace.label for pace in found.paces] == ["for comparison"] * 2


def test_only_a_pace_that_nobody_set_is_climbed_to_and_it_is_told() -> None:
    climbing = course(replace(LIMITS, ramp=True))
    assert (climbing.climbs, course(replace(LIMITS, ramp=False)).climbs) == (True, False)
    assert climbing.to_json()["climbs"] is True
    assert not course(replace(LIMITS, ramp=True, per_second=None)).climbs
