"""Wait until the budgets allow it: requests per second, tokens per minute.

Two budgets, in this order, so that a request leaves at the moment the pace grants it: tokens, then
pace. Both serve first come, first served; a retry waits in line like a first attempt.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from runner.errors import FailsRow

if TYPE_CHECKING:
    from runner.records import Request, Usage

# What is granted stays this much below the limit, so that jitter on the way to the server does not
# carry a request into a full window. Measured against a server that counts exactly: 99 % of the
# limit draws no 429, 100 % draws one in a hundred.
SHARE = 0.99
# A late timer may make up for this much, no more: a stalled process must not burst afterwards.
CATCH_UP_S = 0.005
WINDOW_S = 60.0  # providers count tokens by the minute
# One burst of tokens inside the minute. aiolimiter alone would let a whole minute's allowance
# through at once and the next one right behind it.
_SMOOTH_S = 2.0
RAMP_FROM = 0.1  # a pace nobody asked for starts at this share and reaches all of it in RAMP_S
RAMP_S = 60.0


class Pace:
    """An absolute schedule: one slot every 1/rate seconds, one timer, waiters in order of arrival.

    With `ramp` the rate climbs from a tenth to the whole over a minute, as providers ask of new
    traffic.
    """

    def __init__(self, per_second: float, *, ramp: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._per_second = per_second
        self._ramp_until = self._loop.time() + RAMP_S if ramp else 0.0
        self._next = self._loop.time()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False

    @property
    def waiting(self) -> int:
        """How many requests wait for their slot."""
        return len(self._waiters)

    def _interval_s(self, now: float) -> float:
        rate = self._per_second * SHARE
        if now < self._ramp_until:
            climbed = 1 - (self._ramp_until - now) / RAMP_S
            rate *= RAMP_FROM + (1 - RAMP_FROM) * climbed
        return 1 / rate

    async def wait(self) -> None:
        """Return when this caller's slot has come."""
        if self._open:
            return
        if not self._waiters:
            now = self._loop.time()
            if self._next <= now:
                self._next = max(self._next, now - CATCH_UP_S) + self._interval_s(now)
                return
        slot = self._loop.create_future()
        self._waiters.append(slot)
        if self._timer is None:
            self._timer = self._loop.call_at(self._next, self._serve)
        await slot

    def _serve(self) -> None:
        now = self._loop.time()
        interval_s = self._interval_s(now)
        due = max(self._next, now - CATCH_UP_S)
        while self._waiters and due <= now:
            slot = self._waiters.popleft()
            if not slot.done():  # a cancelled waiter takes no slot
                slot.set_result(None)
                due += interval_s
        self._next = due
        self._timer = self._loop.call_at(due, self._serve) if self._waiters else None

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


class TokenBudget:
    """Tokens per minute: reserved before sending, settled with what the reply really took.

    A ledger of the last 60 seconds decides, since providers refuse by the minute; aiolimiter
    spreads the grants inside it. What an answer will take is learned from the answers so far.
    """

    def __init__(self, per_minute: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.per_minute = per_minute
        self._allowed = per_minute * SHARE
        self._burst = max(1.0, self._allowed * _SMOOTH_S / WINDOW_S)
        self._smooth = AsyncLimiter(self._burst, _SMOOTH_S)
        self._line = asyncio.Lock()  # first come, first served: aiolimiter serves by amount
        self._spent: deque[tuple[float, int]] = deque()  # (when the reply ended, tokens)
        self._spent_tokens = 0
        self._reserved_tokens = 0
        self._changed = asyncio.Event()
        self._mean_output = 0.0
        self._opened = False
        self._last_grant = float("-inf")

    def expect(self, prompt_tokens: int) -> int:
        """What a request of that many input tokens will probably take in all."""
        expected = prompt_tokens + round(self._mean_output)
        return max(1, min(expected, int(self._allowed)))

    async def reserve(self, tokens: int) -> None:
        """Return when `tokens` fit into this minute."""
        async with self._line:
            await self._spread(tokens)
            while not self._opened and not self._fits(tokens):
                self._changed.clear()
                try:
                    async with asyncio.timeout_at(self._next_expiry()):
                        await self._changed.wait()
                except TimeoutError:
                    continue
            self._reserved_tokens += tokens

    async def _spread(self, tokens: int) -> None:
        now = self._loop.time()
        if now - self._last_grant > _SMOOTH_S:
            # At the start and after a rest the bucket would grant a burst: use that up first.
            await self._smooth.acquire(self._burst)
        self._last_grant = now
        # The bucket refuses amounts above its size; a large request pays in pieces.
        left = float(tokens)
        while left > 0 and not self._opened:
            piece = min(left, self._burst)
            await self._smooth.acquire(piece)
            left -= piece

    def _fits(self, tokens: int) -> bool:
        horizon = self._loop.time() - WINDOW_S
        while self._spent and self._spent[0][0] <= horizon:
            self._spent_tokens -= self._spent.popleft()[1]
        return self._spent_tokens + self._reserved_tokens + tokens <= self._allowed

    def _next_expiry(self) -> float | None:
        return self._spent[0][0] + WINDOW_S if self._spent else None

    def settle(self, reserved: int, usage: Usage | None) -> None:
        """Put what the attempt really took in the place of its reservation."""
        self._reserved_tokens -= reserved
        taken = usage.total_tokens if usage is not None else 0
        if usage is not None:
            gap = usage.completion_tokens - self._mean_output
            self._mean_output += gap * 0.05 if self._mean_output else gap
        if taken:
            self._spent.append((self._loop.time(), taken))
            self._spent_tokens += taken
        self._changed.set()

    def open(self) -> None:
        """Let everyone through at once: the run is stopping and they will not send."""
        self._opened = True
        self._changed.set()


class Limits:
    """The one gate that every attempt passes before it is sent."""

    def __init__(self, pace: Pace | None, tokens: TokenBudget | None) -> None:
        self._pace = pace
        self._tokens = tokens

    async def admit(self, request: Request, prompt_tokens: int) -> int:
        """Wait for every budget. Returns the tokens reserved, to be given back to `settle`.

        Raises FailsRow for a request that alone is larger than a minute's tokens.
        """
        reserved = 0
        if self._tokens is not None:
            if prompt_tokens > self._tokens.per_minute:
                raise FailsRow(
                    "too_large",
                    f"row {request.row} has about {prompt_tokens:,} input tokens and --tpm allows "
                    f"{self._tokens.per_minute:,} a minute; raise --tpm or shorten the row",
                )
            reserved = self._tokens.expect(prompt_tokens)
            await self._tokens.reserve(reserved)
        if self._pace is not None:
            await self._pace.wait()
        return reserved

    def settle(self, reserved: int, usage: Usage | None) -> None:
        """Account for an attempt that has ended, answered or not."""
        if self._tokens is not None:
            self._tokens.settle(reserved, usage)

    def open(self) -> None:
        """Stop holding anyone back; the caller has made sure that nothing more is sent."""
        if self._pace is not None:
            self._pace.open()
        if self._tokens is not None:
            self._tokens.open()
