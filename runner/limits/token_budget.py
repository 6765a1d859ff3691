"""Tokens per minute: reserved before sending, settled with what the reply really took.

A ledger of the last minute decides, since providers refuse by the minute; aiolimiter spreads the
grants inside it, behind one line, since it serves by amount and not by arrival.

What is promised, and where it ends: tokens count when a reply ends, and when that will be is only
known as a mean of the answers so far. While replies take seconds, no minute is above the limit by
more than 1 % and one request, and 97 % of it is used. Where they take 10 s to 2 minutes and a few
of them fill the limit, replies sent minutes apart may end together: then 65 to 87 % is used, and a
minute may come out above the limit, by what ended together by chance. The provider answers that
with a throttle, which is asked again and costs no answer.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from runner.limits.expectation import Expectation
from runner.limits.pace import WHOLE

if TYPE_CHECKING:
    from runner.records import Part, Usage

WINDOW_S = 60.0  # providers count tokens by the minute, and when the reply ends
_SHARE = 0.99  # of the limit, what may be settled and reserved in a minute
# Sums of what is on its way are off by so many mean deviations, times the root of their number,
# one time in ten.
_CAUTION = 1.2
# Grants are spread evenly, a second's worth at once at the most: aiolimiter alone would let a whole
# minute's allowance through and the next one right behind it. They flow a little faster than the
# limit, so that what is lost while a whole request does not fit into the ledger is made up for; a
# request is a large part of a small limit, and no part of a large one.
_SMOOTH_S = 1.0
_FASTER_TOKENS = 12_000  # a minute, at most _FASTER_SHARE of the limit
_FASTER_SHARE = 0.2
# Until answers come nobody knows what they take, and the short ones come first. So many requests
# may be out before: as many as would fit if each took _LARGE tokens, and a few more per answer.
_LARGE_TOKENS = 4000
_FEWEST_OUT = 8
_OUT_PER_ANSWER = 4


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens set aside for one attempt. Made by `reserve`, given back to `settle`."""

    tokens: int
    guess: int  # input tokens, as the caller guessed them
    at_s: float  # event loop time
    budget: TokenBudget  # that it is settled with


class TokenBudget:
    """A limit of tokens per minute, input and output together."""

    def __init__(self, per_minute: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._set_size(per_minute, WHOLE)
        self._refund = 0.0  # reserved and not taken, off the next acquire; negative: a debt
        self._line = asyncio.Lock()
        self._waiting = 0  # in line, its head included
        self._patience: asyncio.Timeout | None = None  # of the one at the head of the line
        self._granted_s = float("-inf")  # the last one
        self._expectation = Expectation()
        self._minute = _Minute()  # settled, as a request finds it when it comes
        self._landing_minute = _Minute()  # settled, as it will find it when its reply ends
        self._reserved_tokens = 0
        self._out = 0  # reservations not yet settled
        self._changed = asyncio.Event()
        self._opened = False

    def _set_size(self, per_minute: int, part: Part) -> None:
        self.per_minute = per_minute  # of all runs that share it
        self.part = part
        self._own = per_minute / part.of
        self._allowed = self._own * _SHARE
        faster = min(_FASTER_TOKENS, self._own * _FASTER_SHARE)
        self._burst = max(1.0, (self._own + faster) * _SMOOTH_S / WINDOW_S)
        self._smooth = AsyncLimiter(self._burst, _SMOOTH_S)
        self._first_out = max(_FEWEST_OUT // part.of, self._own // _LARGE_TOKENS, 1)

    def resize(self, per_minute: int, part: Part) -> None:
        """From now on `part` of another limit; what the last minute took still counts."""
        if (per_minute, part) == (self.per_minute, self.part):
            return
        self._set_size(per_minute, part)
        self._granted_s = float("-inf")  # the new bucket is as full as after a rest
        self._refund = min(self._refund, self._burst)
        self._changed.set()

    def input_tokens(self, guess: int) -> float:
        """What an input guessed at so many tokens will probably be counted as."""
        return self._expectation.input_tokens(guess)

    async def reserve(self, guess: int) -> Reservation:
        """Set aside what a request of about `guess` input tokens will take, once that fits."""
        self._waiting += 1
        try:
            async with self._line:
                # Above the allowance it would never fit; the provider has the last word on it.
                tokens = min(self._expectation.tokens(guess), max(1, int(self._allowed)))
                if not self._opened:
                    await self._wait_at_the_head(guess, tokens)
                self._granted_s = self._loop.time()
                self._reserved_tokens += tokens
                self._out += 1
                return Reservation(tokens, guess, self._granted_s, self)
        finally:
            self._waiting -= 1

    async def _wait_at_the_head(self, guess: int, tokens: int) -> None:
        try:
            async with asyncio.timeout(None) as self._patience:
                await self._spread(tokens)
                await self._wait_for_room(guess, tokens)
        except TimeoutError:
            pass  # `open` has ended it
        finally:
            self._patience = None

    async def _spread(self, tokens: int) -> None:
        if self._loop.time() - self._granted_s > _SMOOTH_S:
            # At the start and after a rest the bucket would grant a burst: use that up first.
            await self._smooth.acquire(self._burst)
        left = tokens - self._refund
        self._refund = max(0.0, -left)
        # The bucket refuses amounts above its size; a large request pays in pieces.
        while left > 0:
            piece = min(left, self._burst)
            await self._smooth.acquire(piece)
            left -= piece

    async def _wait_for_room(self, guess: int, tokens: int) -> None:
        while not self._fits(guess, tokens):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._next_leaving_s()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _fits(self, guess: int, tokens: int) -> bool:
        if self._out >= self._first_out + _OUT_PER_ANSWER * self._expectation.answers:
            return False
        now_s = self._loop.time()
        # The server looks when the request comes: at what was settled, and at the input. An empty
        # minute takes any.
        settled = self._minute.at(now_s)
        if settled and settled + self.input_tokens(guess) > self._own:
            return False
        # Its own tokens count when its reply ends, beside what will not be a minute old by then and
        # what else is on its way. Half of it may be in debt: waiting for all of it to fit would
        # leave half a request's place empty, on average.
        landing_s = self._expectation.landing_s
        spent = self._landing_minute.at(now_s + landing_s) + self._reserved_tokens
        if not spent:
            return True
        doubt = _CAUTION * self._expectation.error_tokens * math.sqrt(self._out + 1)
        allowed = self._allowed * max(1.0, landing_s / WINDOW_S)
        return spent + doubt + tokens / 2 <= allowed

    def _next_leaving_s(self) -> float | None:
        """When the ledger changes by itself; None: not before something is settled."""
        now_s = self._loop.time()
        landing_s = self._expectation.landing_s
        moments_s = (
            self._minute.next_leaving_s,
            self._landing_minute.next_leaving_s - landing_s,
        )
        return min((at_s for at_s in moments_s if now_s < at_s < math.inf), default=None)

    @property
    def waiting(self) -> int:
        """How many requests wait for tokens."""
        return self._waiting

    def settle(self, reservation: Reservation, usage: Usage | None, *, unknown: bool) -> None:
        """Put what the attempt really took in the place of its reservation.

        `unknown`: it may have been billed and nobody said how much; the reservation then stands.
        """
        now_s = self._loop.time()
        self._out -= 1
        self._reserved_tokens -= reservation.tokens
        taken = reservation.tokens if unknown else 0
        if usage is not None:
            taken = max(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
            error = abs(taken - reservation.tokens)
            self._expectation.learn(reservation.guess, usage, now_s - reservation.at_s, error)
        # What was refunded long ago would have flowed off by now: no burst may be made of it.
        self._refund = min(self._refund + reservation.tokens - taken, self._burst)
        if taken:
            self._minute.add(now_s, taken)
            self._landing_minute.add(now_s, taken)
        self._changed.set()

    def open(self) -> None:
        """Let everyone through at once: the run is stopping and they will not send."""
        if self._opened:
            return
        self._opened = True
        if self._patience is not None:
            self._patience.reschedule(self._loop.time())


class _Minute:
    """Tokens of replies that ended less than a minute before some moment, which moves on."""

    __slots__ = ("_leaving", "_tokens")

    def __init__(self) -> None:
        self._leaving: deque[tuple[float, int]] = deque()  # (when they are a minute old, tokens)
        self._tokens = 0

    def add(self, ended_s: float, tokens: int) -> None:
        """Count a reply; they come in order."""
        self._leaving.append((ended_s + WINDOW_S, tokens))
        self._tokens += tokens

    def at(self, moment_s: float) -> int:
        """The sum; what has left does not come back for an earlier moment."""
        while self._leaving and self._leaving[0][0] <= moment_s:
            self._tokens -= self._leaving.popleft()[1]
        return self._tokens

    @property
    def next_leaving_s(self) -> float:
        return self._leaving[0][0] if self._leaving else math.inf
