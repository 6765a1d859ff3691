"""Requests per second: an absolute schedule that everyone waits for in order of arrival.

The schedule spaces the grants; a ledger of what really went out keeps a second's limit also where
requests leave later than they were let through: behind a stalled event loop, or waiting for a new
connection. Whoever was let through and has not left yet may leave at any moment, so it counts with
what left in the last second, and together they never come to more than the limit. What happens
after that, on the way and before the server looks, is up to the network and the server; the
hundredth that the schedule stays below the limit is there for it.

Runs that share a limit take the slots of one schedule in turn, and each keeps a ledger of its part,
which makes up the whole with the others' whatever stalls whom. A part that grows is taken as just
used by the run that had it, and a run that comes in lets a window pass first.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from runner.records import Part

# What is granted stays this much below the limit, so that jitter on the way to the server does not
# carry a request into a full window. Measured against a server that counts exactly: 99 % of the
# limit draws no 429, 100 % draws one in a hundred.
SHARE = 0.99
# A late timer may make up for this much, no more: a stalled process must not burst afterwards.
CATCH_UP_S = 0.02
# Of that, what would fill a window is held back by the ledger, whose window is longer by so much.
_WINDOW = 1.005
# Event loops tell time by the millisecond: a timer for sooner than that would spin until it comes.
_FINEST_TIMER_S = 0.001
_ROUNDING = 1e-6  # of a step: the slot after a slot must not be rounded up to the one after that
# What a line holds that is long enough: neither a stalled loop nor a slow reader empties it.
_LINE_S = 0.25
RAMP_FROM = 0.1  # a pace nobody asked for starts at this share and reaches all of it in RAMP_S
RAMP_S = 60.0
WHOLE: Final = Part()  # of a limit that nobody else takes from


@dataclass(frozen=True, slots=True)
class _Climb:
    """A share of the pace that grows evenly from `share` at `start_s` to 1 at `end_s`."""

    start_s: float  # event loop time; none before
    share: float
    end_s: float

    @property
    def growth(self) -> float:
        return (1 - self.share) / (self.end_s - self.start_s)

    def share_at(self, at_s: float) -> float:
        return min(1.0, self.share + self.growth * max(0.0, at_s - self.start_s))

    def step_s(self, slot_s: float, whole_step_s: float) -> float:
        """How long after one slot the next one comes, given that time at the whole pace."""
        share, growth = self.share_at(slot_s), self.growth
        # The share's integral over the step makes up one step at the whole pace.
        step_s = (math.sqrt(share * share + 2 * growth * whole_step_s) - share) / growth
        return max(step_s, whole_step_s)  # it never goes beyond the whole


class Pace:
    """One slot every 1/rate seconds, one timer, one queue.

    With `ramp` the rate climbs from a tenth to the whole over the minute after the first request,
    as providers ask of new traffic.
    """

    def __init__(self, per_second: float, *, ramp: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self.per_second = per_second  # of all runs that share it
        self.part = WHOLE
        self._step_s = 1 / (per_second * SHARE)
        self._ramp = ramp
        self._climb: _Climb | None = None
        self._next_s = self._loop.time()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False
        self._begun = False
        self._leaving = 0  # let through and not yet gone
        self._left_s: deque[float] = deque()  # when the last ones went, as far back as a window
        self._set_window()

    @property
    def waiting(self) -> int:
        """How many requests wait for their slot."""
        return len(self._waiters)

    def has_short_line(self) -> bool:
        """Whether the line is gone within a moment: who comes later should not find a long one."""
        line = len(self._waiters)
        return line == 0 or line < self.share * _LINE_S / self._step_s

    @property
    def share(self) -> float:
        """Of the whole pace, what holds now; during a pause, what will hold after it."""
        if self._ramp:
            return RAMP_FROM
        return 1.0 if self._climb is None else self._climb.share_at(self._loop.time())

    @property
    def climb_left_s(self) -> float:
        """Until the whole pace holds; 0 when it does."""
        if self._ramp:
            return RAMP_S
        return 0.0 if self._climb is None else max(0.0, self._climb.end_s - self._loop.time())

    def climb_from(self, share: float, over_s: float, *, after_s: float = 0.0) -> None:
        """Nothing for `after_s`, then a share of the pace that grows to the whole in `over_s`."""
        start_s = self._loop.time() + after_s
        self._ramp = False
        self._climb = _Climb(start_s, share, start_s + over_s) if share < 1 else None
        self._next_s = max(self._next_s, start_s)
        self._reset_timer()

    def set_rate(self, per_second: float, part: Part) -> None:
        """From now on `part` of another rate. What was waited for a slot so far counts as far.

        Several runs that share a rate take the slots of one schedule in turn.
        """
        if (per_second, part) == (self.per_second, self.part):
            return
        now_s = self._loop.time()
        before_s, self._step_s = self._step_s, part.of / (per_second * SHARE)
        is_same_rate, self.per_second, self.part = per_second == self.per_second, per_second, part
        self._renew_ledger(now_s, is_same_rate=is_same_rate)
        from_s = now_s if self._climb is None else max(now_s, self._climb.start_s)
        left_s = max(0.0, self._next_s - from_s) * self._step_s / before_s
        self._next_s = self._in_turn(from_s + left_s)
        if not self._begun and part.of > 1:
            # The others made room just now, and what they sent before that fills a window.
            self._next_s = self._in_turn(max(self._next_s, now_s + self._window_s))
        self._reset_timer()

    async def wait(self) -> None:
        """Return when this caller's slot has come; it then calls `left` or `stayed`, once."""
        if self._open:
            self._leaving += 1
            return
        self._begun = True
        now_s = self._loop.time()
        if self._ramp:
            self.climb_from(RAMP_FROM, RAMP_S)
        if not self._waiters and self._next_s <= now_s:
            due_s = self._due(now_s)
            if due_s <= now_s and self._room_s(now_s) <= now_s:
                self._next_s = self._after(due_s)
                self._leaving += 1
                return
            self._next_s = due_s
        slot = self._loop.create_future()
        self._waiters.append(slot)
        if self._timer is None:
            self._set_timer()
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self.stayed()
            raise

    def left(self) -> None:
        """Somebody who was let through is sending now."""
        self._left_s.append(self._loop.time())
        self.stayed()

    def stayed(self) -> None:
        """Somebody who was let through sends nothing."""
        self._leaving -= 1
        if self._waiters and self._timer is None:
            self._set_timer()

    def _renew_ledger(self, now_s: float, *, is_same_rate: bool) -> None:
        most_before = self._most
        self._set_window()
        if not is_same_rate:
            # What left at the old rate was right then, and keeps nobody from the new one.
            self._left_s.clear()
        elif self._most > most_before:
            # What has become this run's part was used by another one until now.
            more = self._most - most_before
            theirs_s = [now_s - self._window_s * place / more for place in range(more)]
            self._left_s = deque(sorted([*self._left_s, *theirs_s]))

    def _set_window(self) -> None:
        own_per_second = self.per_second / self.part.of
        self._most = max(1, math.floor(own_per_second + _ROUNDING))
        self._window_s = self._most / own_per_second * _WINDOW

    def _room_s(self, now_s: float) -> float:
        """When one more may leave; infinite while that depends on those who are about to."""
        left_s, gone_s = self._left_s, now_s - self._window_s
        while left_s and left_s[0] <= gone_s:
            left_s.popleft()
        if self._leaving + len(left_s) < self._most:
            return now_s
        return left_s[0] + self._window_s if left_s else math.inf

    def _after(self, slot_s: float) -> float:
        climb = self._climb
        if climb is not None:
            if slot_s < climb.end_s:
                return slot_s + climb.step_s(slot_s, self._step_s)
            self._climb = None
        return self._in_turn(slot_s + self._step_s)

    def _due(self, now_s: float) -> float:
        """The next slot's moment, unless it is too long past to be made up for."""
        late_s = now_s - CATCH_UP_S
        return self._next_s if self._next_s >= late_s else self._in_turn(late_s)

    def _in_turn(self, at_s: float) -> float:
        """The first moment from `at_s` on that is this run's turn; its clock is the machine's."""
        if self.part.of == 1:
            return at_s
        first_s = self.part.place / self.part.of * self._step_s
        turns = math.ceil((at_s - first_s) / self._step_s - _ROUNDING)
        return first_s + turns * self._step_s

    def _reset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._set_timer()

    def _set_timer(self) -> None:
        now_s = self._loop.time()
        at_s = max(self._next_s, self._room_s(now_s), now_s + _FINEST_TIMER_S)
        if at_s < math.inf:
            self._timer = self._loop.call_at(at_s, self._serve)

    def _serve(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        due_s = self._due(now_s)
        while self._waiters and due_s <= now_s and self._room_s(now_s) <= now_s:
            slot = self._waiters.popleft()
            if not slot.done():  # a cancelled waiter takes no slot
                slot.set_result(None)
                self._leaving += 1
                due_s = self._after(due_s)
        self._next_s = due_s
        if self._waiters:
            self._set_timer()

    def open(self) -> None:
        """Let everyone through at once: the run is stopping and they will not send."""
        self._open = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            slot = self._waiters.popleft()
            if not slot.done():
                slot.set_result(None)
                self._leaving += 1
