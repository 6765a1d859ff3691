from __future__ import annotations

from decimal import Decimal

import pytest

from runner.errors import JobError
from runner.job import Job
from runner.providers import Price, Providers, Tier

D = Decimal


def price_at(region: str, name: str) -> Price:
    providers = Providers.load()
    price = providers.model(providers.endpoint(Job(region=region)), name).price
    assert price is not None
    return price


# help.aliyun.com/zh/model-studio/model-pricing, 2026-04, per 1,000,000 tokens
def test_tiers_are_read_as_published() -> None:
    price = price_at("beijing", "qwen-plus")
    assert price.currency == "CNY"
    assert price.tiers == (
        Tier(128_000, D("0.8"), D(2), D(8)),
        Tier(256_000, D("2.4"), D(20), D(24)),
        Tier(1_000_000, D("4.8"), D(48), D(64)),
    )


def test_a_price_without_a_thinking_price_thinks_at_the_output_price() -> None:
    assert price_at("singapore", "qwen-max").tiers == (Tier(None, D("1.6"), D("6.4"), D("6.4")),)


def test_a_snapshot_has_its_own_price_or_its_familys() -> None:
    flat = (Tier(None, D("0.8"), D(2), D(8)),)
    assert price_at("beijing", "qwen-plus-2025-07-14").tiers == flat
    family = price_at("beijing", "qwen-plus")
    assert price_at("beijing", "qwen-plus-2025-12-01").tiers == family.tiers
    assert price_at("beijing", "qwen-plus-latest").tiers == family.tiers


# From the pages context-cache and openai-compatible-batch-chat of the provider's documents, 2026-11
def test_cache_and_batch_shares() -> None:
    assert price_at("beijing", "qwen-plus").cached_share == D("0.2")
    assert price_at("beijing", "qwen-plus").batch_share == D("0.5")
    assert price_at("beijing", "qwen3-8b").batch_share is None
    assert price_at("singapore", "qwen-turbo").batch_share == D("0.5")


def test_rates_are_whole_pico_units_a_token() -> None:
    price = Price("USD", (Tier(10, D("0.4"), D("1.2"), D(4)), Tier(20, D(1), D(2), D(3))), D("0.2"))
    assert price.pico[0] == (10, 400_000, 80_000, 1_200_000, 4_000_000)
    assert price.pico[1][0] > 10**15  # the last tier is for all that is longer


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (Tier(None, D(1), D(1), D(1)), Tier(5, D(1), D(1), D(1))),
        (Tier(5, D(1), D(1), D(1)), Tier(5, D(2), D(2), D(2))),
        (Tier(None, D(-1), D(1), D(1)),),
        (Tier(None, D(1), D("NaN"), D(1)),),
        (Tier(None, D(1), D(1), D("0.1234567")),),
    ],
)
def test_what_is_no_price_is_refused(tiers: tuple[Tier, ...]) -> None:
    with pytest.raises(JobError, match="price"):
        Price("USD", tiers)


def test_a_cache_cannot_cost_more_than_the_whole() -> None:
    with pytest.raises(JobError, match="between 0 and 1"):
        Price("USD", (Tier(None, D(1), D(1), D(1)),), D("1.2"))
