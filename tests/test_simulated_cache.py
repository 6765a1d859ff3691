"""How much of a prompt was seen before."""

from __future__ import annotations

from typing import Any

from runner.simulator.cache import PromptCache
from runner.simulator.model import tokens_by_bytes


def body(system: str, question: str, model: str = "qwen-plus") -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"model": model, "messages": messages}


def test_a_long_prefix_is_cached_from_its_second_use_per_model() -> None:
    cache, prefix = PromptCache(tokens_by_bytes), "x" * 4_700
    assert cache.cached_tokens(body(prefix, "a")) == 0
    assert cache.cached_tokens(body(prefix, "b")) == 1_000
    assert cache.cached_tokens(body(prefix, "c", model="qwen-max")) == 0


def test_a_prefix_below_256_tokens_is_not_cached() -> None:
    cache, prefix = PromptCache(tokens_by_bytes), "x" * 1_190
    assert [cache.cached_tokens(body(prefix, q)) for q in "ab"] == [0, 0]
