"""How fast it goes: counts and rates of a run, for whoever shows them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from runner.durable import faults

if TYPE_CHECKING:
    from pathlib import Path

    from runner.tally import Tally

_RATE_S = 10.0  # rates are over the last seconds, since a mean over hours hides a stall


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, over the last ten seconds."""

    requests: float
    rows: float
    tokens: float


class Progress:
    """Keeps enough of the recent past to say how fast the run goes now."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._started = time.monotonic()
        self._marks: deque[tuple[float, int, int, int]] = deque()
        self.mark()

    @property
    def elapsed_s(self) -> float:
        """Since this process began."""
        return time.monotonic() - self._started

    def mark(self) -> None:
        """Note where the counts stand; call it about once a second."""
        now, tally = time.monotonic(), self._tally
        self._marks.append((now, tally.requests, tally.rows, tally.total_tokens))
        while len(self._marks) > 2 and self._marks[1][0] < now - _RATE_S:
            self._marks.popleft()

    def rates(self) -> Rates:
        """What the marks of the last ten seconds say."""
        first, last = self._marks[0], self._marks[-1]
        seconds = max(last[0] - first[0], 1e-9)
        requests, rows, tokens = ((last[i] - first[i]) / seconds for i in (1, 2, 3))
        return Rates(requests, rows, tokens)

    def left_s(self, pending: int | None) -> float | None:
        """How long the rest takes at this rate; None while that cannot be known."""
        rate = self.rates().rows
        return None if pending is None or rate <= 0 else pending / rate

    def append_measure(self, path: Path, **more: Any) -> None:
        """Add one line of counts and rates to measures.jsonl. Raises MachineFault."""
        tally, rates = self._tally, self.rates()
        line = {
            "at": time.time(),
            "rows": tally.rows,
            "failed": tally.failed,
            "requests": tally.requests,
            "retries": tally.retries,
            "total_tokens": tally.total_tokens,
            "cost": tally.cost,
            "requests_per_s": round(rates.requests, 3),
            "tokens_per_s": round(rates.tokens, 1),
            **more,
        }
        with faults("write", path), path.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")
