"""How did a rehearsed run go? Its whole, and its course by tenths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Stretch:
    """A tenth of the rehearsed rows."""

    rows: int
    ends_s: float  # since the start of the run
    seconds: float
    throttled_share: float  # of the attempts that were made in it
    tokens_per_minute: float  # of the answers that ended in it, input and output
    limited_by: str  # what bound for most of it, a word of `binding`

    @property
    def rows_per_s(self) -> float:
        """The pace."""
        return self.rows / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Every figure."""
        return {
            "rows": self.rows,
            "ends_s": round(self.ends_s, 1),
            "rows_per_s": round(self.rows_per_s, 3),
            "throttled_share": round(self.throttled_share, 4),
            "tokens_per_minute": round(self.tokens_per_minute),
            "limited_by": self.limited_by,
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How a run went on the simulated clock. Made by `rehearse`, shown by the command."""

    model: str
    rows: int  # rehearsed, from the first on
    of_rows: int  # in the run, without those that are done
    done: int  # rows that have a result already
    rehearsed_s: float  # what they took, on the simulated clock
    seconds: float  # until all rows are done, by the pace of the rehearsed ones; or it stopped
    attempts: int  # for the rehearsed rows
    throttled: int  # of the attempts
    failed: int  # of the rehearsed rows, those without an answer
    # Until all rows are done, as `seconds`, by the mean of the rehearsed ones; or it stopped.
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # None: a price is unknown
    currency: str | None
    answer_tokens: float  # the mean that was assumed, or measured
    measured: str | None  # the run whose answers were taken for all; None: none were
    stretches: tuple[Stretch, ...]
    stopped: str | None  # why the run stopped before its end
    took_s: float  # real time

    @property
    def speedup(self) -> float:
        """Simulated over real time."""
        return self.rehearsed_s / self.took_s if self.took_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """Every figure, JSON-ready."""
        return {
            "model": self.model,
            "rows": self.rows,
            "of_rows": self.of_rows,
            "done": self.done,
            "rehearsed_s": round(self.rehearsed_s, 1),
            "time_s": round(self.seconds, 1),
            "attempts": self.attempts,
            "throttled": self.throttled,
            "failed": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
            "currency": self.currency,
            "answer_tokens": round(self.answer_tokens, 1),
            "measured": self.measured,
            "course": [stretch.to_json() for stretch in self.stretches],
            "stopped": self.stopped,
            "speedup": round(self.speedup),
        }
