"""What will it cost? Each request at its own tier, from the least to the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.tally import PICO

if TYPE_CHECKING:
    from decimal import Decimal

    from runner.estimate.output_length import OutputLength
    from runner.estimate.prompt_census import Cell, Census
    from runner.estimate.prompt_reading import Kind
    from runner.estimate.ranges import Range
    from runner.estimate.row_sample import Sample
    from runner.providers import Price

_DIGITS = 9  # of an amount of money; a thousand-millionth is below any request's cost


@dataclass(frozen=True, slots=True)
class Billing:
    """How requests of one kind are billed. Made by `estimate`."""

    price: Price | None  # None: unknown
    model: str
    thinking: bool  # whether all output is billed at the thinking price
    output: OutputLength


@dataclass(frozen=True, slots=True)
class TierLine:
    """The requests that are billed at one tier of one model's price."""

    model: str
    up_to: int | None  # prompt tokens; None: of any length
    requests: float
    prompt_tokens: float
    input_price: float  # of 1,000,000 tokens
    output_price: float
    thinking: bool  # whether that is the thinking price


@dataclass(frozen=True, slots=True)
class Money:
    """Amounts in `currency`. Cached input is not assumed, but counts where it was measured."""

    currency: str
    total: Range
    input: Range
    output: Range
    batch: Range | None  # the total over a batch address, where there is one for these models
    batch_share: float | None  # of the usual price
    cached_share: float | None  # of the input price, for tokens found in the cache
    tiers: tuple[TierLine, ...]
    as_of: str  # of the prices
    source: str
    cached_found: float | None = None  # share of prompt tokens, where answers were measured

    def to_json(self) -> dict[str, Any]:
        """Everything, amounts rounded to a thousand-millionth."""
        return {
            "cost": self.total.to_json(_DIGITS),
            "currency": self.currency or None,
            "input_cost": self.input.to_json(_DIGITS),
            "output_cost": self.output.to_json(_DIGITS),
            "batch_cost": self.batch and self.batch.to_json(_DIGITS),
            "batch_share": self.batch_share,
            "cached_share": self.cached_share,
            "cached_found": self.cached_found,
            "tiers": [
                {
                    "model": line.model,
                    "up_to": line.up_to,
                    "requests": round(line.requests),
                    "prompt_tokens": round(line.prompt_tokens),
                    "input_price": line.input_price,
                    "output_price": line.output_price,
                    "thinking": line.thinking,
                }
                for line in self.tiers
            ],
            "prices_as_of": self.as_of,
            "prices_source": self.source,
        }


def forecast_cost(
    census: Census, sample: Sample, bills: dict[Kind, Billing], error_share: float
) -> Money | None:
    """The bill for all that the census stands for; None where any of its prices is unknown.

    `bills` has every kind of the census, and at least one. `error_share`: by which share of itself
    each count of prompt tokens may be off.
    """
    prices = [bill.price for bill in bills.values() if bill.price is not None]
    if len(prices) < len(bills) or len({price.currency for price in prices}) > 1:
        return None

    def between(*, input_: bool, output: bool) -> Range:
        def rates(kind: Kind, cell: Cell, factor: float, *, low: bool) -> tuple[float, float]:
            a_token, a_request = _rates(bills[kind], cell, factor, low=low)
            return a_token * input_, a_request * output

        return sample.between(
            census.weighed(lambda kind, cell: rates(kind, cell, 1 - error_share, low=True)),
            census.weighed(lambda kind, cell: rates(kind, cell, 1 + error_share, low=False)),
        ) * (1 / PICO)

    total = between(input_=True, output=True)
    batch_share = _only({price.batch_share for price in prices})
    cached_share = _only({price.cached_share for price in prices})
    return Money(
        currency=prices[0].currency,
        total=total,
        input=between(input_=True, output=False),
        output=between(input_=False, output=True),
        batch=None if batch_share is None else total * float(batch_share),
        batch_share=None if batch_share is None else float(batch_share),
        cached_share=None if cached_share is None else float(cached_share),
        tiers=_tier_lines(census, sample, bills),
        as_of=" and ".join(sorted({price.as_of for price in prices})),
        source=" and ".join(sorted({price.source for price in prices})),
    )


def _rates(bill: Billing, cell: Cell, factor: float, *, low: bool) -> tuple[float, float]:
    """What a counted prompt token, and beside it a whole request, cost in 1e-12 units.

    `factor` is what a count is off by: it moves requests into other tiers too.
    """
    assert bill.price is not None  # noqa: S101 - the caller has looked
    at = _tier_at(bill.price, cell.tokens / cell.requests * factor)
    _, input_, _, output, thinking_output = bill.price.pico[at]
    tokens = bill.output.completion.low if low else bill.output.completion.high
    return input_ * factor, (thinking_output if bill.thinking else output) * tokens


def _tier_at(price: Price, prompt_tokens: float) -> int:
    return next(at for at, tier in enumerate(price.pico) if prompt_tokens <= tier[0])


def _tier_lines(census: Census, sample: Sample, bills: dict[Kind, Billing]) -> tuple[TierLine, ...]:
    sums: dict[tuple[str, int, bool], tuple[Billing, int, int]] = {}
    for (kind, _), cell in census.cells.items():
        bill = bills[kind]
        assert bill.price is not None  # noqa: S101 - the caller has looked
        key = (bill.model, _tier_at(bill.price, cell.tokens / cell.requests), bill.thinking)
        _, requests, tokens = sums.get(key, (bill, 0, 0))
        sums[key] = (bill, requests + cell.requests, tokens + cell.tokens)
    lines = []
    for (model, at, thinking), (bill, requests, tokens) in sorted(
        sums.items(), key=lambda item: item[0]
    ):
        assert bill.price is not None  # noqa: S101 - as above
        tier = bill.price.tiers[at]
        lines.append(
            TierLine(
                model=model,
                up_to=None if at == len(bill.price.tiers) - 1 else tier.up_to,
                requests=sample.scaled(requests),
                prompt_tokens=sample.scaled(tokens),
                input_price=float(tier.input),
                output_price=float(tier.thinking_output if thinking else tier.output),
                thinking=thinking,
            )
        )
    return tuple(lines)


def _only(values: set[Decimal | None]) -> Decimal | None:
    return values.pop() if len(values) == 1 else None
