from __future__ import annotations

import random
from decimal import Decimal

import pytest

from runner.job import Job
from runner.prices import cost_pico, to_amount, worst_case_pico
from runner.providers import Price, Providers, Tier
from runner.records import Usage

D = Decimal


def price_at(region: str, name: str) -> Price:
    providers = Providers.load()
    price = providers.model(providers.endpoint(Job(region=region)), name).price
    assert price is not None
    return price


def cost(usage: Usage, price: Price, *, thinking: bool) -> Decimal:
    return to_amount(cost_pico(usage, price, thinking=thinking))


# By hand, from help.aliyun.com/zh/model-studio/model-pricing (2026-04), CNY per 1,000,000 tokens:
# qwen-plus up to 128K 0.8 / 2 / thinking 8, up to 256K 2.4 / 20 / 24, up to 1M 4.8 / 48 / 64.
@pytest.mark.parametrize(
    ("prompt", "cached", "completion", "thinking", "amount"),
    [
        (22, 0, 18, False, "0.0000536"),  # 22 * 0.8 + 18 * 2 = 53.6
        (22, 0, 18, True, "0.0001616"),  # 22 * 0.8 + 18 * 8 = 161.6
        (128_000, 0, 1_000, False, "0.1044"),  # 102,400 + 2,000
        (128_001, 0, 1_000, False, "0.3272024"),  # 307,202.4 + 20,000
        (256_000, 0, 1_000, True, "0.6384"),  # 614,400 + 24,000
        (300_000, 0, 1_000, True, "1.504"),  # 1,440,000 + 64,000
        (1_200_000, 0, 0, False, "5.76"),  # beyond the last tier: at the last tier
        (1_000, 400, 100, False, "0.000744"),  # 600 * 0.8 + 400 * 0.16 + 200
        (200_000, 150_000, 10, False, "0.1922"),  # 50,000 * 2.4 + 150,000 * 0.48 + 200
        (0, 0, 0, True, "0"),
    ],
)
def test_beijing_qwen_plus_by_tier_thinking_and_cache(
    prompt: int, cached: int, completion: int, thinking: bool, amount: str
) -> None:
    usage = Usage(prompt, completion, prompt + completion, cached)
    assert cost(usage, price_at("beijing", "qwen-plus"), thinking=thinking) == D(amount)


def test_a_long_prompt_in_singapore_is_billed_at_its_own_tier() -> None:
    # 300,000 tokens at 1.2 USD per million; at the first tier's 0.4 it would be 0.12.
    price = price_at("singapore", "qwen-plus")
    assert cost(Usage(300_000, 0, 300_000), price, thinking=False) == D("0.36")


def test_every_token_of_an_answer_that_thinks_costs_the_thinking_price() -> None:
    # qwen3-235b-a22b, Beijing: 2 / 8 / thinking 20.
    usage = Usage(100, 500, 600, 0, reasoning_tokens=450)
    assert cost(usage, price_at("beijing", "qwen3-235b-a22b"), thinking=True) == D("0.0102")


def test_more_cached_tokens_than_prompt_tokens_cannot_make_a_negative_cost() -> None:
    price = price_at("beijing", "qwen-plus")
    assert cost(Usage(10, 0, 10, cached_tokens=50), price, thinking=False) == D("0.0000016")


@pytest.mark.parametrize("seed", [20261124])
def test_sums_of_many_costs_are_exact(seed: int) -> None:
    price = Price("USD", (Tier(None, D("0.1"), D("0.3"), D("0.3")),), D("0.2"))
    source = random.Random(seed)
    pico, exact = 0, D(0)
    for _ in range(2_000):
        prompt, completion = source.randrange(5_000), source.randrange(3_000)
        cached = source.randrange(prompt + 1)
        usage = Usage(prompt, completion, prompt + completion, cached)
        pico += cost_pico(usage, price, thinking=False)
        exact += (prompt - cached) * D("0.1") + cached * D("0.02") + completion * D("0.3")
    assert to_amount(pico) == exact / 10**6


@pytest.mark.parametrize("seed", [7])
def test_the_worst_case_is_never_below_any_request_within_it(seed: int) -> None:
    source = random.Random(seed)
    # A dearer middle tier, which a shorter prompt than expected would fall into.
    odd = Price(
        "X", (Tier(100, D(1), D(9), D(1)), Tier(200, D(9), D(2), D(3)), Tier(300, D(1), D(1), D(1)))
    )
    prices = [odd, price_at("beijing", "qwen-plus"), price_at("singapore", "qwen3-max")]
    for _ in range(5_000):
        price = source.choice(prices)
        prompt, completion = source.randrange(1_500_000), source.randrange(9_000)
        if price is odd:
            prompt %= 400
        bound = worst_case_pico(price, prompt, completion)
        used = source.randint(0, prompt)
        usage = Usage(used, source.randint(0, completion), 0, source.randint(0, used))
        assert cost_pico(usage, price, thinking=source.random() < 0.5) <= bound


def test_the_worst_case_of_a_short_prompt_stays_in_its_tier() -> None:
    # 1,000 * 0.8 + 100 * 8 (thinking, the dearer of the two outputs)
    assert to_amount(worst_case_pico(price_at("beijing", "qwen-plus"), 1_000, 100)) == D("0.0016")


def test_an_amount_keeps_every_pico_unit() -> None:
    assert to_amount(123_456_789_012_345_678) == D("123456.789012345678")
    assert to_amount(1) == D("0.000000000001")
