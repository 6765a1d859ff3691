"""Usage to money: what did a request cost, and what is the most that it can cost?

Sums are integers in pico-units, 1e-12 of the price's currency: exact, and cheap on the hot path.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.providers import Price
    from runner.records import Usage


def cost_pico(usage: Usage, price: Price, *, thinking: bool) -> int:
    """What one request cost, in 1e-12 currency units.

    The whole request is billed at the tier of its own prompt; in thinking mode all of its output
    is billed at the thinking price; prompt tokens from the cache at their share of the input price
    (help.aliyun.com/zh/model-studio/model-pricing, 2026-04, and
    alibabacloud.com/help/en/model-studio/context-cache, 2026-11). The usage is that of one request:
    sums over several attempts would be billed at the wrong tier.
    """
    prompt = usage.prompt_tokens
    for up_to, input_, cached, output, thinking_output in price.pico:
        if prompt <= up_to:
            from_cache = min(usage.cached_tokens, prompt)
            return (
                (prompt - from_cache) * input_
                + from_cache * cached
                + usage.completion_tokens * (thinking_output if thinking else output)
            )
    raise AssertionError("the last tier is for prompts of any length")


def worst_case_pico(
    price: Price, prompt_tokens: int, completion_tokens: int, *, thinking: bool = True
) -> int:
    """The most that a request of at most so many tokens can cost, in 1e-12 currency units.

    Of the tiers that a prompt of that length or shorter can fall into, the dearest; output at the
    dearer of its two prices, unless it is known not to think; nothing from the cache. What is
    billed beside tokens (search, writing an explicit cache) is not in it.
    """
    most = 0
    for up_to, input_, _, output, thinking_output in price.pico:
        dearest = max(output, thinking_output) if thinking else output
        cost = min(prompt_tokens, up_to) * input_ + completion_tokens * dearest
        most = max(most, cost)
        if prompt_tokens <= up_to:
            break
    return most


def to_amount(pico: int) -> Decimal:
    """1e-12 currency units as an exact amount; for a float, divide by 1e12."""
    return Decimal(pico).scaleb(-12)
