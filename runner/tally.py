"""What results add up to: the counts of a block, of a run, and of what is left to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.records import Result, Unfinished

PICO = 10**12  # money is added up in whole 1e-12 units, so that sums are exact in any order

_COUNTS = (
    "rows",
    "failed",
    "truncated",
    "empty",
    "requests",
    "retries",
    "unmetered_attempts",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
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
    empty: int = 0  # answers without text or tool calls
    requests: int = 0  # HTTP calls
    retries: int = 0  # HTTP calls beyond a row's first
    unmetered_attempts: int = 0  # attempts that may be billed without known usage
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unpriced: int = 0  # rows with tokens but without a known price
    costs_pico: dict[str, int] = field(default_factory=dict)  # by currency, in 1e-12 of it
    failures: dict[str, Failure] = field(default_factory=dict)  # by error_type
    models: dict[str, int] = field(default_factory=dict)  # rows by the model that answered

    @property
    def succeeded(self) -> int:
        """Rows with a usable answer."""
        return self.rows - self.failed

    @property
    def currency(self) -> str | None:
        """The one currency that was paid in; None while nothing was, or in a mixture."""
        paid = [name for name, pico in self.costs_pico.items() if pico] or list(self.costs_pico)
        return paid[0] if len(paid) == 1 else None

    @property
    def cost(self) -> float | None:
        """Money spent so far in `currency`; None where a price is unknown, or in a mixture."""
        mixed = len(self.costs_pico) > 1 and self.currency is None
        return None if self.unpriced or mixed else sum(self.costs_pico.values()) / PICO

    def add(self, result: Result, sign: int = 1) -> None:
        """Count one more result; with `sign` -1, take back one that a newer result replaces."""
        self.rows += sign
        self.add_bill(result, sign)
        if result.model is not None:
            self._answer(result.model, sign)
        if result.error_type is not None:
            self.failed += sign
            self._fail(result.error_type, Failure(sign, result.row, result.error_message or ""))
            return
        if result.finish_reason == "length":
            self.truncated += sign
        if not (result.completion or result.tool_calls):
            self.empty += sign

    def add_bill(self, bill: Result | Unfinished, sign: int = 1) -> None:
        """Count what a row has cost, whether it has come to a result or not."""
        self.requests += sign * bill.attempts
        self.retries += sign * max(0, bill.attempts - 1)
        self.unmetered_attempts += sign * bill.unmetered_attempts
        if bill.total_tokens is not None:
            self.prompt_tokens += sign * (bill.prompt_tokens or 0)
            self.completion_tokens += sign * (bill.completion_tokens or 0)
            self.total_tokens += sign * bill.total_tokens
            self.cached_tokens += sign * (bill.cached_tokens or 0)
            self.reasoning_tokens += sign * (bill.reasoning_tokens or 0)
            if bill.cost is None or bill.currency is None:
                self.unpriced += sign
            else:
                self._pay(bill.currency, sign * round(bill.cost * PICO))

    def _fail(self, kind: str, failure: Failure) -> None:
        seen = self.failures.get(kind)
        if seen is None:
            self.failures[kind] = failure
        elif seen.count + failure.count == 0:
            del self.failures[kind]
        else:
            first = seen if failure.count < 0 or seen.row < failure.row else failure
            self.failures[kind] = Failure(seen.count + failure.count, first.row, first.message)

    def _pay(self, currency: str, pico: int) -> None:
        self.costs_pico[currency] = self.costs_pico.get(currency, 0) + pico

    def _answer(self, model: str, rows: int) -> None:
        self.models[model] = self.models.get(model, 0) + rows
        if not self.models[model]:
            del self.models[model]  # all taken back: no part of a mixture any more

    def merge(self, other: Tally) -> None:
        """Count all that another tally counted."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for currency, pico in other.costs_pico.items():
            self._pay(currency, pico)
        for kind, failure in other.failures.items():
            self._fail(kind, failure)
        for model, rows in other.models.items():
            self._answer(model, rows)

    def beyond(self, other: Tally) -> Tally:
        """The counts and money that `other` lacks of this; nothing where it has more."""
        names = {name: max(0, getattr(self, name) - getattr(other, name)) for name in _COUNTS}
        costs = {
            currency: max(0, pico - other.costs_pico.get(currency, 0))
            for currency, pico in self.costs_pico.items()
        }
        return Tally(**names, costs_pico=costs)

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON-ready data; `from_json` reads them back."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        data["costs_pico"] = self.costs_pico
        data["failures"] = {
            kind: [one.count, one.row, one.message] for kind, one in self.failures.items()
        }
        data["models"] = self.models
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """The tally that `to_json` wrote."""
        tally = cls(**{name: data[name] for name in _COUNTS})
        tally.costs_pico = dict(data["costs_pico"])
        tally.failures = {kind: Failure(*one) for kind, one in data["failures"].items()}
        tally.models = dict(data["models"])
        return tally
