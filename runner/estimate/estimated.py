"""What an estimate says: tokens, money and time of a job, for each model that was asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.estimate.cost_forecast import Money
    from runner.estimate.measured import Measured
    from runner.estimate.ranges import Range
    from runner.estimate.time_forecast import Course
    from runner.row_ids import DoubleIds
    from runner.tally import Failure


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """One model's answer to the question; several stand side by side."""

    model: str  # or "each row's own", where the rows name theirs
    region: str | None
    exact: bool  # whether prompt tokens are counted with the model's own vocabulary
    error_share: float  # by which share of itself a count may be off
    put_right: bool  # whether counts were compared with what the provider billed
    prompt_tokens: Range
    completion_tokens: Range  # thinking included
    reasoning_tokens: Range | None  # the part spent on thinking; None: none, or not told apart
    output_per_request: Range
    output_source: str
    output_assumed: bool
    money: Money | None  # None: the price is unknown, which is not free
    time: Course
    done: float  # requests that have their answer already, part of the figures but of the time
    to_pay: Range | None  # money for the rest; None: unknown, or all is to be paid
    too_long: int  # requests longer than the model takes; these will fail
    wider_pilot: int | None  # rows that would narrow the range; None: it is narrow, or no pilot's
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every figure."""
        unpriced = {"cost": None, "currency": None}
        return {
            "model": self.model,
            "region": self.region,
            "tokens_exact": self.exact,
            "tokens_error_share": self.error_share,
            "prompt_tokens": self.prompt_tokens.to_json(),
            "completion_tokens": self.completion_tokens.to_json(),
            "reasoning_tokens": self.reasoning_tokens and self.reasoning_tokens.to_json(),
            "output_per_request": self.output_per_request.to_json(1),
            "output_source": self.output_source,
            "output_assumed": self.output_assumed,
            **(self.money.to_json() if self.money is not None else unpriced),
            **self.time.to_json(),
            "requests_done": round(self.done),
            "cost_to_pay": self.to_pay and self.to_pay.to_json(9),
            "too_long": self.too_long,
            "wider_pilot": self.wider_pilot,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take. Made by `estimate` and `first_look`, shown by the commands."""

    dataset: tuple[str, ...]
    rows: int  # in scope
    rows_exact: bool  # False: guessed from the size of a text file
    counted_rows: int
    sample: str | None  # which rows were counted, in words; None: all
    sample_small: bool  # whether these are too few to tell well how far they mislead
    requests: float  # rows that will be sent
    unsent: dict[str, Failure]  # counted rows that fail before anything is sent, by error_type
    tokenizer: str
    longest_prompt: int  # tokens, of the rows counted
    inexact: dict[str, int]  # counted requests with parts whose tokens are not published
    models: tuple[ModelEstimate, ...]
    measured: Measured | None = None  # answers that the figures rest on; None: none
    double_ids: DoubleIds | None = None  # None: all are different, or not looked at

    def to_json(self) -> dict[str, Any]:
        """Every figure, JSON-ready."""
        return {
            "dataset": list(self.dataset),
            "rows": self.rows,
            "rows_exact": self.rows_exact,
            "counted_rows": self.counted_rows,
            "sample": self.sample,
            "sample_small": self.sample_small,
            "requests": round(self.requests),
            "unsent": {
                kind: {"rows": one.count, "first_row": one.row, "message": one.message}
                for kind, one in sorted(self.unsent.items())
            },
            "tokenizer": self.tokenizer,
            "longest_prompt": self.longest_prompt,
            "inexact": self.inexact,
            "double_ids": self.double_ids and self.double_ids.to_json(),
            "measured": self.measured and self.measured.to_json(),
            "models": [model.to_json() for model in self.models],
        }
