"""What does the person who asks say that tokens cost?"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from runner.errors import JobError
from runner.providers import Price, Tier

if TYPE_CHECKING:
    from runner.preflight import Preflight


def own_price(
    price_input: float | None, price_output: float | None, flight: Preflight
) -> Price | None:
    """The price of 1,000,000 tokens in and out; None where none is given. Raises JobError."""
    if price_input is None and price_output is None:
        return None
    if price_input is None or price_output is None:
        missing = "--price-input" if price_input is None else "--price-output"
        raise JobError(f"{missing} is missing; a price of your own needs both sides")
    input_, output = Decimal(str(price_input)), Decimal(str(price_output))
    return Price(
        currency=flight.endpoint.currency or "",
        tiers=(Tier(None, input_, output, output),),
        as_of="this command",
        source="--price-input and --price-output",
    )
