"""With --concurrency auto: how many workers should there be? Decided from what they have brought.

More while all are busy and nothing else holds the run back, as long as more workers bring more;
fewer when throttling is the rule. A generation is as many ended attempts as there are workers: the
first one after a change still shows the old number, the second one tells.
"""

from __future__ import annotations

import math

FIRST = 16  # workers to begin with: enough to see, few enough to offend no one
MOST = 1000  # one process asks no faster with more
_GROWTH = 1.5
_WORTH = 0.2  # of the gain that more workers should bring; less, and all pay for it in waiting
_REST_S = 60.0  # after growth in vain, or a cut
_CUT_TO = 0.7  # the provider's advice
_RULE = 0.2  # share of throttled attempts above which throttling is the rule
_ENOUGH = 20  # attempts to judge throttling by


class Sizing:
    """Told at each beat what has ended so far; `size` is how many workers there should be. Pure."""

    def __init__(self, now_s: float, *, first: int = FIRST, ceiling: int = MOST) -> None:
        self._ceiling = max(1, ceiling)
        self.size = min(first, self._ceiling)
        self._before: tuple[int, float] | None = None  # size and rate before the last growth
        self._rest_until_s = float("-inf")
        self._ended = self._throttles = 0  # in all, when this generation began
        self._began_s = now_s
        self._is_settling = True
        self._looks = self._busy_looks = 0

    def look(self, now_s: float, *, ended: int, throttles: int, limited_by: str) -> int:
        """The size from now on. `ended` and `throttles` are counts since the start."""
        self._looks += 1
        self._busy_looks += limited_by == "workers"
        came, throttled = ended - self._ended, throttles - self._throttles
        if came >= _ENOUGH and throttled > came * _RULE:
            self._before = None
            self._rest_until_s = now_s + _REST_S
            self._resize(max(1, math.floor(self.size * _CUT_TO)))
            self._begin(now_s, ended, throttles)
        elif came >= self.size and now_s > self._began_s:
            if self._is_settling:
                self._is_settling = False
            else:
                self._judge(now_s, came / (now_s - self._began_s))
            self._begin(now_s, ended, throttles)
        return self.size

    def _judge(self, now_s: float, per_second: float) -> None:
        before, self._before = self._before, None
        if self._busy_looks * 2 <= self._looks:
            return  # something else holds the run back
        if before is not None and per_second < before[1] * _least_gain(self.size / before[0]):
            self._rest_until_s = now_s + _REST_S
            self._resize(before[0])
        elif now_s >= self._rest_until_s and self.size < self._ceiling:
            self._before = self.size, per_second
            self._resize(min(self._ceiling, math.ceil(self.size * _GROWTH)))

    def _resize(self, size: int) -> None:
        self.size = size
        self._is_settling = True

    def _begin(self, now_s: float, ended: int, throttles: int) -> None:
        self._began_s, self._ended, self._throttles = now_s, ended, throttles
        self._looks = self._busy_looks = 0


def _least_gain(growth: float) -> float:
    return 1 + (growth - 1) * _WORTH
