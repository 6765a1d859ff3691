"""What do a model's tokens cost? The prices of the provider tables, by length of the prompt."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runner.errors import JobError
from runner.providers.tables import entry, relatives

if TYPE_CHECKING:
    from runner.providers.tables import Table


@dataclass(frozen=True, slots=True)
class Tier:
    """What 1,000,000 tokens cost in requests of at most `up_to` prompt tokens."""

    up_to: int | None  # None: of any length
    input: Decimal
    output: Decimal
    thinking_output: Decimal  # of every output token of a request in thinking mode


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost. A prompt beyond the last tier is billed at the last tier.

    Raises JobError for tiers out of order and for figures that are no amounts of money.
    """

    currency: str
    tiers: tuple[Tier, ...]  # shortest prompts first
    cached_share: Decimal = Decimal(1)  # of the input price, for prompt tokens from the cache
    batch_share: Decimal | None = None  # of the price over a batch address; None: no batch
    as_of: str = "undated"
    source: str = ""
    # (up_to, input, cached input, output, thinking output) in 1e-12 currency units a token:
    # integers, so that a sum over millions of rows is exact and costs next to nothing.
    pico: tuple[tuple[int, int, int, int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bounds = [sys.maxsize if tier.up_to is None else tier.up_to for tier in self.tiers]
        if not bounds or bounds != sorted(set(bounds)):
            raise JobError("a price needs tiers, each for longer prompts than the one before")
        if not 0 <= self.cached_share <= 1:
            raise JobError(
                f"the cache's share of a price is between 0 and 1, not {self.cached_share}"
            )
        bounds[-1] = sys.maxsize
        rates = []
        for bound, tier in zip(bounds, self.tiers, strict=True):
            cached = int((tier.input * self.cached_share * 10**6).to_integral_value())
            output, thinking = _pico(tier.output), _pico(tier.thinking_output)
            rates.append((bound, _pico(tier.input), cached, output, thinking))
        object.__setattr__(self, "pico", tuple(rates))


def price_of(table: Table, region: str | None, currency: str | None, name: str) -> Price | None:
    """A model's price in a region: its own, or that of the model it is `like`; None: unknown."""
    by_currency: Table = table.get("prices", {}).get(region or "", {})
    currency = currency or next(iter(by_currency), "")
    prices: Table = by_currency.get(currency, {})
    batch: Table = table.get("batch", {})
    for relative in relatives(table.get("models", {}), name, "like"):
        if relative in prices:
            figures, as_of, source = entry(prices, relative, "price")
            return Price(
                currency=currency,
                tiers=_tiers(figures),
                cached_share=_number(table.get("cache", {}).get("share", 1)),
                batch_share=_number(batch["share"])
                if name in batch.get(region or "", ())
                else None,
                as_of=as_of,
                source=source,
            )
    return None


def _tiers(figures: Any) -> tuple[Tier, ...]:
    """`[input, output, thinking]`, or a list of `[up_to, input, output, thinking]`."""
    if not isinstance(figures, list) or not figures:
        raise JobError("a price is written [input, output] or [input, output, thinking output]")
    rows = figures if isinstance(figures[0], list) else [[None, *figures]]
    if not all(isinstance(row, list) and len(row) in {3, 4} for row in rows):
        raise JobError("a tier is written [up to so many prompt tokens, input, output, thinking]")
    return tuple(
        Tier(
            up_to=None if row[0] is None else int(_number(row[0])),
            input=_number(row[1]),
            output=_number(row[2]),
            thinking_output=_number(row[-1]),
        )
        for row in rows
    )


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise JobError(f"{value!r} is no number")
    return Decimal(value)


def _pico(price: Decimal) -> int:
    """Currency units per 1e6 tokens as 1e-12 units a token."""
    if not price.is_finite() or price < 0 or price * 10**6 % 1:
        raise JobError(f"{price} is no price per 1,000,000 tokens: 0 or more, at most 6 decimals")
    return int(price * 10**6)
