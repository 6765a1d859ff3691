"""Which limits on money and tokens are set, and what is the most that an attempt may take?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.counted import counted
from runner.notation import parse_money
from runner.prices import to_amount
from runner.tally import PICO
from runner.worst_case import WorstCase

if TYPE_CHECKING:
    from runner.preflight import Preflight

MONEY, TOKENS = 0, 1  # the kinds of account
FLAGS = ("--max-cost", "--max-total-tokens")  # by kind


def most_pico(max_cost: str) -> int:
    """What --max-cost comes to, in 1e-12 of its currency."""
    return int(parse_money(max_cost)[0] * PICO)


def shown(amount: int, unit: str) -> str:
    """An amount of an account for a person: `0.001200 USD`, `1,234 tokens`."""
    if unit == "tokens":
        return counted(amount, "token")
    money = to_amount(amount)
    digits = 2 if money >= 100 else 4 if money >= 1 else 6
    return f"{money:,.{digits}f} {unit}"


def limits_of(flight: Preflight) -> list[tuple[int, str, int]]:
    """Kind, unit and amount of each limit that is set."""
    settings, limits = flight.job.limits, []
    if settings.max_cost is not None:
        assert flight.facts.price is not None  # noqa: S101 - `prepare` has refused it
        limits.append((MONEY, flight.facts.price.currency, most_pico(settings.max_cost)))
    if settings.max_total_tokens is not None:
        limits.append((TOKENS, "tokens", settings.max_total_tokens))
    return limits


def worst_case_of(flight: Preflight) -> WorstCase:
    """The bounds on a run's attempts."""
    price, limited = flight.facts.price, flight.job.limits.max_cost is not None
    currency = price.currency if price is not None and limited else None
    return WorstCase(flight.facts_of, flight.parameters, currency=currency)
