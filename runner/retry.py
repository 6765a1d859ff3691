"""Should this row be tried again? And when?

tenacity's strategies are the policy; they are evaluated here without its loop, because a row that
waits must not keep a worker: `run` parks it for as long as `next_wait_s` says.

The wait is random and its range doubles, from 1 to 60 seconds, as the provider advises for
throttles and server errors alike (help.aliyun.com/zh/model-studio/rate-limiting-best-practices):
limits are checked by the second and by the minute, so less than a second is in vain and more than
a minute is lost.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity
from tenacity.wait import wait_base

from runner.records import Action

if TYPE_CHECKING:
    from runner.records import Verdict

SHORTEST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# Each may be billed, the answer being made and thrown away; a third would hardly fare better.
MAX_TIMEOUTS = 2
MAX_INCOMPLETE = 2  # billed each time
# At half a minute a wait this is two hours, the default of --max-outage. Even where nine of ten
# attempts are throttled, no row in a thousand million is that unlucky.
MAX_THROTTLES = 240


@dataclass(slots=True)
class Attempts:
    """A row's failed attempts, outages aside. Owned by `run`, counted by `RetryPolicy`."""

    counted: int = 0  # what --max-attempts limits
    timeouts: int = 0  # of these
    incomplete: int = 0  # of these
    throttles: int = 0  # not counted


class RetryPolicy:
    """Decides for each row. `rng` makes the waits repeatable in tests."""

    def __init__(self, max_attempts: int, rng: random.Random | None = None) -> None:
        # A generator of its own: a program that seeds the global one would make all its processes
        # come back at the same moments.
        self._wait = _RandomExponential(rng or random.Random())  # noqa: S311 - jitter, no secret
        self._stop = tenacity.stop_after_attempt(max_attempts)
        self._stop_timeouts = tenacity.stop_after_attempt(min(MAX_TIMEOUTS, max_attempts))
        self._stop_incomplete = tenacity.stop_after_attempt(min(MAX_INCOMPLETE, max_attempts))
        self._stop_throttles = tenacity.stop_after_attempt(MAX_THROTTLES)
        self._retrying = tenacity.AsyncRetrying(stop=self._stop, wait=self._wait)

    def next_wait_s(self, attempts: Attempts, verdict: Verdict) -> float | None:
        """Counts the failed attempt and says when to ask again; None: the row has failed.

        Not to be called for an attempt that was part of an outage: it uses up nothing.
        """
        if verdict.action is Action.THROTTLED:
            attempts.throttles += 1
            state = self._state(attempts.throttles)
            used_up = self._stop_throttles(state)
        elif verdict.action is Action.AGAIN:
            attempts.counted += 1
            state = self._state(attempts.counted)
            used_up = self._stop(state) or self._used_up(attempts, verdict.error_type)
        else:
            return None
        if used_up:
            return None
        return max(self._wait(state), verdict.retry_after_s or 0.0)

    def _used_up(self, attempts: Attempts, error_type: str) -> bool:
        if error_type == "timeout":
            attempts.timeouts += 1
            return self._stop_timeouts(self._state(attempts.timeouts))
        if error_type == "incomplete":
            attempts.incomplete += 1
            return self._stop_incomplete(self._state(attempts.incomplete))
        return False

    def _state(self, attempt_number: int) -> tenacity.RetryCallState:
        """What tenacity's strategies look at. These read nothing but `attempt_number`."""
        state = tenacity.RetryCallState(self._retrying, None, (), {})
        state.attempt_number = attempt_number
        return state


class _RandomExponential(wait_base):
    """tenacity's `wait_random_exponential`, drawing from a generator that can be seeded.

    1 to 2 s after the first failure, then 1 to 4, 1 to 8, ... 1 to 60.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._highest = tenacity.wait_exponential(
            multiplier=2 * SHORTEST_WAIT_S, min=SHORTEST_WAIT_S, max=LONGEST_WAIT_S
        )

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        return self._rng.uniform(SHORTEST_WAIT_S, self._highest(retry_state))
