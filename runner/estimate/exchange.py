"""What is an amount worth in US dollars? To tell whether a run is expensive, never for a bill."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

_RATES = Path(__file__).with_name("exchange_rates.toml")


def in_usd(amount: float, currency: str) -> float | None:
    """The amount at the dated rate of exchange_rates.toml; None for a currency it does not have."""
    rate = _per_usd().get(currency)
    return None if rate is None else amount / rate


@cache
def _per_usd() -> dict[str, float]:
    rates: dict[str, float] = tomllib.loads(_RATES.read_text("utf-8"))["per_usd"]
    return rates
