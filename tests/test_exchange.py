from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from runner.estimate.exchange import in_usd

RATES = Path(__file__).parent.parent / "runner" / "estimate" / "exchange_rates.toml"


def test_a_dollar_is_a_dollar_and_yuan_have_a_dated_rate() -> None:
    assert in_usd(12.5, "USD") == 12.5
    assert in_usd(73.4, "CNY") == pytest.approx(10, rel=0.1)
    table = tomllib.loads(RATES.read_text("utf-8"))
    assert table["as_of"]
    assert table["source"]


def test_a_currency_without_a_rate_is_worth_something_unknown() -> None:
    assert in_usd(1, "EUR") is None
    assert in_usd(1, "") is None
