"""How many workers there are with --concurrency auto, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from runner.sizing import FIRST, MOST, Sizing

BEAT_S = 0.5


@dataclass
class Day:
    """A provider that answers after `latency_s`, at most `per_second`; what is above is refused."""

    latency_s: float
    per_second: float = float("inf")
    pace: float = float("inf")  # what the run allows itself
    throttles_above: float = float("inf")  # requests a second
    ceiling: int = MOST
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sizing = Sizing(0.0, ceiling=self.ceiling)
        self._now_s = self._ended = self._throttles = 0.0

    def last(self, seconds: float) -> int:
        """The size after so long."""
        until_s = self._now_s + seconds
        while self._now_s < until_s:
            self._now_s += BEAT_S
            able = self._sizing.size / self.latency_s
            rate = min(able, self.pace, self.per_second)
            self._ended += rate * BEAT_S
            self._throttles += max(0.0, rate - self.throttles_above) * BEAT_S
            size = self._sizing.look(
                self._now_s,
                ended=int(self._ended),
                throttles=int(self._throttles),
                limited_by="pace" if able > self.pace else "workers",
            )
            self.sizes.append(size)
        return self._sizing.size


def test_it_grows_until_the_pace_is_reached_and_no_further() -> None:
    day = Day(latency_s=1.0, pace=100)
    assert 100 <= day.last(60) <= 150
    assert day.last(600) == day.sizes[-1]
    assert max(day.sizes) <= 150
    assert day.sizes == sorted(day.sizes)


def test_it_begins_small_and_is_where_it_wants_to_be_within_half_a_minute() -> None:
    day = Day(latency_s=0.5, pace=400)
    assert day.sizes == []
    assert day.last(BEAT_S) == FIRST
    assert day.last(30) >= 200


@pytest.mark.parametrize("ceiling", [1, 5, 300, MOST])
def test_it_never_goes_above_its_ceiling(ceiling: int) -> None:
    day = Day(latency_s=0.2, ceiling=ceiling)
    assert day.last(120) == ceiling
    assert max(day.sizes) == ceiling


def test_it_does_not_grow_where_more_workers_bring_no_more() -> None:
    day = Day(latency_s=0.1, per_second=200)  # 20 workers are enough
    day.last(300)
    assert max(day.sizes) <= 54
    assert day.sizes[-1] <= 36


def test_throttling_shrinks_it_until_it_is_no_longer_the_rule() -> None:
    day = Day(latency_s=1.0, throttles_above=50)
    day.last(300)
    assert max(day.sizes) <= 100
    assert day.sizes[-1] <= 50 / 0.8 * 1.5
    # A tenth of throttles is none of its business.
    assert Day(latency_s=1.0, throttles_above=90, ceiling=100).last(120) == 100


def test_slow_answers_are_waited_for() -> None:
    day = Day(latency_s=30.0)
    assert day.last(29) == FIRST
    assert day.last(600) > FIRST
