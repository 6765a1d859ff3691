"""What results add up to: the counts of a block, of a run, and of what is left to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.records import Result

PICO = 10**12  # money is added up in whole 1e-12 units, so that sums are exact in any order

_COUNTS = (
    "rows",
    "failed",
    "truncated",
    "requests",
    "retries",
    "unmetered_attempts",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_pico",
    "unpriced",
)


@dataclass(slots=True)
class Failure:
    """One kind of failure: how many rows, and the first of them as an example."""

    count: int
    row: int
    message: str


@dataclass(slots=True)
class Tally:
    """Sums over results. Adding tallies adds the runs they stand for."""

    rows: int = 0  # rows with a result
    failed: int = 0
    truncated: int = 0  # answers cut at max_tokens (finish_reason "length")
    requests: int = 0  # HTTP calls
    retries: int = 0  # HTTP calls beyond a row's first
    unmetered_attempts: int = 0  # attempts that may be billed without known usage
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico: int = 0  # 1e-12 of `currency`
    unpriced: int = 0  # rows with tokens but without a known price
    currency: str | None = None
    failures: dict[str, Failure] = field(default_factory=dict)  # by error_type
    models: dict[str, int] = field(default_factory=dict)  # rows by the model that answered

    @property
    def succeeded(self) -> int:
        """Rows with a usable answer."""
        return self.rows - self.failed

    @property
    def cost(self) -> float | None:
        """Money spent so far in `currency`; None where a price is unknown."""
        return None if self.unpriced else self.cost_pico / PICO

    def add(self, result: Result, sign: int = 1) -> None:
        """Count one more result; with `sign` -1, take back one that a newer result replaces."""
        self.rows += sign
        self.requests += sign * result.attempts
        self.retries += sign * max(0, result.attempts - 1)
        self.unmetered_attempts += sign * result.unmetered_attempts
        if result.total_tokens is not None:
            self.prompt_tokens += sign * (result.prompt_tokens or 0)
            self.completion_tokens += sign * (result.completion_tokens or 0)
            self.total_tokens += sign * result.total_tokens
            self.cached_tokens += sign * (result.cached_tokens or 0)
            self.reasoning_tokens += sign * (result.reasoning_tokens or 0)
            if result.cost is None:
                self.unpriced += sign
            else:
                self.cost_pico += sign * round(result.cost * PICO)
                self.currency = result.currency
        if result.model is not None:
            self.models[result.model] = self.models.get(result.model, 0) + sign
        if result.error_type is not None:
            self.failed += sign
            self._fail(result.error_type, Failure(sign, result.row, result.error_message or ""))
        elif result.finish_reason == "length":
            self.truncated += sign

    def _fail(self, kind: str, failure: Failure) -> None:
        seen = self.failures.get(kind)
        if seen is None:
            self.failures[kind] = failure
        elif seen.count + failure.count == 0:
            del self.failures[kind]
        else:
            first = seen if failure.count < 0 or seen.row < failure.row else failure
            self.failures[kind] = Failure(seen.count + failure.count, first.row, first.message)

    def merge(self, other: Tally) -> None:
        """Count all that another tally counted."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.currency = self.currency or other.currency
        for kind, failure in other.failures.items():
            self._fail(kind, failure)
        for model, rows in other.models.items():
            self.models[model] = self.models.get(model, 0) + rows

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON-ready data; `from_json` reads them back."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        data["currency"] = self.currency
        data["failures"] = {
            kind: [one.count, one.row, one.message] for kind, one in self.failures.items()
        }
        data["models"] = self.models
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """The tally that `to_json` wrote."""
        tally = cls(**{name: data[name] for name in _COUNTS}, currency=data["currency"])
        tally.failures = {kind: Failure(*one) for kind, one in data["failures"].items()}
        tally.models = dict(data["models"])
        return tally
