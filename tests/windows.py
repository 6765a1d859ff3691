"""How much fell into the fullest window? What a server with a sliding window would have counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROUNDING_S = 1e-9  # moments exactly a span apart must not meet through rounding


def fullest(events: Iterable[tuple[float, int]], span_s: float) -> int:
    """The largest sum over any (t - span_s, t]; events are (moment, amount), in order of moment."""
    window: deque[tuple[float, int]] = deque()
    total = largest = 0
    for moment_s, amount in events:
        window.append((moment_s, amount))
        total += amount
        while window[0][0] <= moment_s - span_s + _ROUNDING_S:
            total -= window.popleft()[1]
        largest = max(largest, total)
    return largest


def most_in_a_second(moments_s: Iterable[float]) -> int:
    """The largest number of moments in any second."""
    return fullest(((moment_s, 1) for moment_s in moments_s), 1.0)
