"""Is throttling the rule, so that everybody has to slow down? And did slowing help?

A throttle answer delays its own row, and that is enough while few are throttled. Only when more
than a fifth of the last second's attempts were (at a slow pace, of the last 200), the pool pauses
and goes on slower; a cut that does not halve that share is undone, since then the pace is not to
blame.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 1.0
FEWEST = 20  # attempts to judge by
ENOUGH = 200  # where a second has fewer, the last so many are looked at
_RULE = 0.2  # share of throttled attempts above which throttling is the rule
# A tenth of random throttles is no rule: a sample must lie this many standard deviations above it.
# By chance alone, a fifth of 20 attempts is reached every few seconds, this once in hours.
_RANDOM = 0.1
_DEVIATIONS = 5
_PAUSE_S = 1.0  # limits by the second are clear again after it
_CUT_TO = 0.7  # the provider's advice; less when even less is let through
_LOWEST = 0.01  # of the pace: a provider that lets nobody in is tried all the same
_CLIMB_S = 60.0  # limits by the minute are clear again after it
_BURST_CLIMB_S = 180.0  # growth was what the provider minded
_TOLERATE_S = 60.0  # after a cut in vain, doubled each time
_TOLERATE_MOST_S = 900.0


class Slowable(Protocol):
    """What is slowed: `limits.Pace`."""

    @property
    def share(self) -> float:
        """Of the whole pace, what holds now."""
        ...

    @property
    def climb_left_s(self) -> float:
        """Until the whole pace holds; 0 when it does."""
        ...

    def climb_from(self, share: float, over_s: float, *, after_s: float = 0.0) -> None:
        """Nothing for `after_s`, then a share of the pace that grows to the whole in `over_s`."""
        ...


@dataclass(frozen=True, slots=True)
class _Trial:
    """A cut that has yet to show whether it helps."""

    throttled: float  # share of the attempts before it
    at_s: float
    pace: float  # share of the whole pace before it
    climb_left_s: float  # likewise


class Throttling:
    """Told of every attempt that ended; slows `pace` and lets it climb back. Pure but for that."""

    def __init__(self, pace: Slowable, clock: Callable[[], float]) -> None:
        self._pace = pace
        self._clock = clock  # seconds, the pace's own
        self._since_s: float | None = None  # attempts sent before tell of an older pace
        self._ended: deque[tuple[float, bool]] = deque()  # (when, throttled)
        self._throttled = 0  # of these
        self._bursts = False
        self._trial: _Trial | None = None
        self._tolerate_s = _TOLERATE_S
        self._tolerate_until_s = float("-inf")
        self._cut_once = False

    @property
    def is_slowing(self) -> bool:
        """Whether a cut still holds: the pace is climbing back to what was asked for."""
        return self._cut_once and self._pace.share < 1

    def attempt_ended(self, sent_s: float, *, throttled: bool, burst: bool = False) -> None:
        """Note one attempt; `burst`: throttled because the pace grew too quickly."""
        if self._since_s is None:
            self._since_s = sent_s
        if sent_s < self._since_s:
            return
        now_s = self._clock()
        self._ended.append((now_s, throttled))
        self._throttled += throttled
        self._bursts = self._bursts or burst
        if now_s < self._since_s + WINDOW_S or len(self._ended) < FEWEST:
            return  # of a new pace the first attempts are let in whatever it is
        if self._trial is not None:
            self._judge(self._trial, now_s)
            return
        while len(self._ended) > ENOUGH and self._ended[0][0] < now_s - WINDOW_S:
            self._throttled -= self._ended.popleft()[1]
        tolerated = not throttled or now_s < self._tolerate_until_s
        if not tolerated and is_rule(len(self._ended), self._throttled):
            self._cut(now_s)

    def _cut(self, now_s: float) -> None:
        throttled = self._throttled / len(self._ended)
        climb_s = _BURST_CLIMB_S if self._bursts else _CLIMB_S
        self._trial = _Trial(throttled, now_s, self._pace.share, self._pace.climb_left_s)
        cut_to = max(_LOWEST, self._trial.pace * min(_CUT_TO, 1 - throttled))
        self._cut_once = True
        self._begin_anew(now_s + _PAUSE_S)
        self._pace.climb_from(cut_to, climb_s, after_s=_PAUSE_S)

    def _judge(self, trial: _Trial, now_s: float) -> None:
        self._trial = None
        if self._throttled / len(self._ended) <= trial.throttled / 2:
            self._tolerate_s = _TOLERATE_S
        else:
            self._tolerate_until_s = now_s + self._tolerate_s
            self._tolerate_s = min(self._tolerate_s * 2, _TOLERATE_MOST_S)
            self._undo(trial, now_s)
        self._begin_anew(now_s)

    def _undo(self, trial: _Trial, now_s: float) -> None:
        """Go on where the pace would be by now without the cut."""
        gone_s = now_s - trial.at_s
        if gone_s >= trial.climb_left_s:
            self._pace.climb_from(1.0, 0.0)
        else:
            share = trial.pace + (1 - trial.pace) * gone_s / trial.climb_left_s
            self._pace.climb_from(share, trial.climb_left_s - gone_s)

    def _begin_anew(self, since_s: float) -> None:
        self._since_s = since_s
        self._ended.clear()
        self._throttled = 0
        self._bursts = False


def is_rule(attempts: int, throttled: int) -> bool:
    """Whether so many of so many are the rule rather than chance."""
    chance = attempts * _RANDOM
    beyond_chance = chance + _DEVIATIONS * math.sqrt(chance * (1 - _RANDOM))
    return throttled > attempts * _RULE and throttled >= beyond_chance
