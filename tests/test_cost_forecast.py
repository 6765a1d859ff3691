from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from runner.estimate.cost_forecast import Billing, forecast_cost
from runner.estimate.output_length import OutputLength
from runner.estimate.prompt_census import Cell, Census
from runner.estimate.prompt_reading import Kind
from runner.estimate.ranges import Range
from runner.estimate.row_sample import Sample
from runner.prices import cost_pico
from runner.providers import Price, Tier
from runner.records import Usage

PLAIN, THINKING = Kind("m", False), Kind("m", True)
TIERS = (
    Tier(1000, Decimal("0.8"), Decimal(2), Decimal(8)),
    Tier(2000, Decimal("2.4"), Decimal(20), Decimal(24)),
    Tier(9000, Decimal("4.8"), Decimal(48), Decimal(64)),
)
PRICE = Price("CNY", TIERS, Decimal("0.2"), Decimal("0.5"), "2026-04", "the price page")


def census_of(
    prompts: list[int], kind: Kind = PLAIN, bounds: tuple[int, ...] = (1000, 2000)
) -> Census:
    census = Census(rows=len(prompts))
    for tokens in prompts:
        census.add(kind, sum(tokens > bound for bound in bounds), Cell(1, tokens, tokens**2))
    return census


def bill(
    kind: Kind, low: float, high: float, price: Price | None = PRICE, model: str = "m"
) -> dict[Kind, Billing]:
    output = OutputLength(Range(low, high), None, "a test", assumed=False)
    return {kind: Billing(price, model, bool(kind.enable_thinking), output)}


@pytest.mark.parametrize("kind", [PLAIN, THINKING])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_sum_of_what_each_request_is_billed(kind: Kind, seed: int) -> None:
    dice = Random(seed)
    prompts = [dice.randrange(1, 5000) for _ in range(500)] + [1000, 1001, 2000, 2001]
    found = forecast_cost(census_of(prompts, kind), Sample(504, 504), bill(kind, 50, 70), 0)
    assert found is not None
    for end, tokens in ((found.total.low, 50), (found.total.high, 70)):
        thinking = bool(kind.enable_thinking)
        usages = [Usage(prompt, tokens, prompt + tokens) for prompt in prompts]
        pico = sum(cost_pico(usage, PRICE, thinking=thinking) for usage in usages)
        assert end == pytest.approx(pico / 1e12, rel=1e-12)
    assert found.input.low == found.input.high
    assert found.total.low == pytest.approx(found.input.low + found.output.low)


def test_requests_are_listed_by_the_tier_of_their_own_prompt() -> None:
    found = forecast_cost(census_of([10, 1000, 1001, 8000]), Sample(4, 4), bill(PLAIN, 1, 1), 0)
    assert found is not None
    assert [(line.up_to, line.requests, line.prompt_tokens) for line in found.tiers] == [
        (1000, 2, 1010),
        (2000, 1, 1001),
        (None, 1, 8000),
    ]
    assert [(line.input_price, line.output_price) for line in found.tiers] == [
        (0.8, 2.0),
        (2.4, 20.0),
        (4.8, 48.0),
    ]


def test_thinking_has_its_own_price() -> None:
    found = forecast_cost(census_of([10], THINKING), Sample(1, 1), bill(THINKING, 1e6, 1e6), 0)
    assert found is not None
    assert found.output == Range(8, 8)
    assert found.tiers[0].thinking


def test_a_count_that_may_be_off_may_fall_into_another_tier() -> None:
    found = forecast_cost(census_of([900]), Sample(1, 1), bill(PLAIN, 0, 0), 0.25)
    assert found is not None
    assert found.input.low == pytest.approx(900 * 0.75 * 0.8 / 1e6)
    assert found.input.high == pytest.approx(900 * 1.25 * 2.4 / 1e6)


def test_the_batch_interface_and_the_cache_are_told_but_not_assumed() -> None:
    found = forecast_cost(census_of([500] * 10), Sample(10, 10), bill(PLAIN, 5, 9), 0)
    assert found is not None
    assert found.batch == found.total * 0.5
    assert found.cached_share == 0.2
    assert (found.as_of, found.source) == ("2026-04", "the price page")
    no_batch = Price("CNY", TIERS)
    found = forecast_cost(census_of([5]), Sample(1, 1), bill(PLAIN, 5, 9, no_batch), 0)
    assert found is not None
    assert (found.batch, found.to_json()["batch_cost"]) == (None, None)


def test_an_unknown_price_makes_the_whole_unknown() -> None:
    census = census_of([5], PLAIN)
    assert forecast_cost(census, Sample(1, 1), bill(PLAIN, 5, 9, None), 0) is None
    census.merge(census_of([7], THINKING))
    mixed = bill(PLAIN, 5, 9) | bill(THINKING, 5, 9, None)
    assert forecast_cost(census, Sample(2, 2), mixed, 0) is None


def test_two_currencies_have_no_sum() -> None:
    census = census_of([5], PLAIN)
    census.merge(census_of([7], THINKING))
    dollars = bill(THINKING, 5, 9, Price("USD", TIERS))
    assert forecast_cost(census, Sample(2, 2), bill(PLAIN, 5, 9) | dollars, 0) is None


def test_nothing_to_ask_costs_nothing() -> None:
    found = forecast_cost(Census(rows=3), Sample(3, 3), bill(PLAIN, 5, 9), 0)
    assert found is not None
    assert found.total == Range(0, 0)


def test_a_sample_is_scaled_with_its_error_around_it() -> None:
    prompts = list(range(100, 900))
    whole = forecast_cost(census_of(prompts), Sample(800, 800), bill(PLAIN, 5, 9), 0)
    part = forecast_cost(census_of(prompts[4::8]), Sample(100, 800), bill(PLAIN, 5, 9), 0)
    assert whole is not None
    assert part is not None
    assert part.total.low < whole.total.low < whole.total.high < part.total.high
    assert part.total.high < whole.total.high * 1.2
