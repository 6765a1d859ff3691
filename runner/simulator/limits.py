"""May this request in? The provider's throttling, with sliding windows.

Source: help.aliyun.com/zh/model-studio/rate-limit and .../rate-limiting-best-practices: limits per
account and model on requests a minute and a second, tokens a minute and a second, and on growth.
The provider publishes no figures for growth; the rule here is ours.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runner.simulator.settings import SimulatorSettings

_ROUNDING_S: Final = 1e-9  # times exactly a span apart must not meet through rounding
_GROWTH_SPAN_S: Final = 10.0  # the past that a second is compared with
_GROWTH_FREE: Final = 20  # requests in a second that are never a burst


class Window:
    """A sum over the last `span_s` seconds, exactly, and the largest it ever was.

    Constant work per event (amortised): each is appended once and dropped once. An event counts in
    the half-open span (now - span_s, now].
    """

    __slots__ = ("_events", "largest", "span_s", "total")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self.total = 0
        self.largest = 0
        self._events: deque[tuple[float, int]] = deque()

    def at(self, now_s: float) -> int:
        """The sum over the span that ends now."""
        events, start = self._events, now_s - self.span_s + _ROUNDING_S
        while events and events[0][0] <= start:
            self.total -= events.popleft()[1]
        return self.total

    def add(self, now_s: float, amount: int = 1) -> None:
        """Count `amount` now; times must not decrease."""
        self.at(now_s)
        self._events.append((now_s, amount))
        self.total += amount
        if self.total > self.largest:
            self.largest = self.total

    def room_in_s(self, now_s: float) -> float:
        """Seconds until the oldest event leaves the span; 0 when there is none."""
        return max(0.0, self._events[0][0] + self.span_s - now_s) if self._events else 0.0


class Gate:
    """The limits of one model. A refused request uses nothing up.

    `admit` names the error line to answer with. Tokens count when a reply ends (`settle`).
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self._requests: list[tuple[Window, int]] = []
        if settings.qps is not None:
            # A fraction such as 2.5/s is 5 in any 2 s; a limit of 100/s is 100 in any second.
            pace = Fraction(settings.qps).limit_denominator(100)
            self._requests.append((Window(float(pace.denominator)), max(1, pace.numerator)))
            if settings.qps >= 1 and pace.denominator > 1:
                # That long span alone would let all of it in at one moment.
                self._requests.append((Window(1.0), ceil(settings.qps)))
        if settings.rpm is not None:
            self._requests.append((Window(60.0), max(1, int(settings.rpm))))
        self._tpm = settings.tpm
        self._tokens = Window(60.0)
        self._growth = settings.growth
        self._second, self._past = Window(1.0), Window(1.0 + _GROWTH_SPAN_S)

    def admit(self, now_s: float, prompt_tokens: int) -> str | None:
        """None lets the request in and counts it; else the name of the throttling line."""
        for window, most in self._requests:
            if window.at(now_s) >= most:
                return "limit_requests"
        if self._tpm is not None and self._tokens.at(now_s) + prompt_tokens > self._tpm:
            return "insufficient_quota"
        if self._growth is not None:
            current = self._second.at(now_s)
            before_per_s = (self._past.at(now_s) - current) / _GROWTH_SPAN_S
            if current >= max(_GROWTH_FREE, self._growth * before_per_s):
                return "limit_burst_rate"
            self._second.add(now_s)
            self._past.add(now_s)
        for window, _ in self._requests:
            window.add(now_s)
        return None

    def burst_over_in_s(self, now_s: float) -> float:
        """When a request refused for growth may try again (X-DashScope-Wait-Timeout)."""
        return self._second.room_in_s(now_s)

    def settle(self, now_s: float, tokens: int) -> None:
        """Count the tokens of a reply that ended now."""
        if self._tpm is not None:
            self._tokens.add(now_s, tokens)
