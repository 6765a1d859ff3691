"""Which requests the provider refuses, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from runner.simulator.rules import refusal, shape_refusal, thinks

JSON = {"type": "json_object"}


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({}, None),
        ({"model": "qwq-plus"}, "stream_only"),
        ({"model": "qwq-plus", "stream": True}, None),
        ({"model": "qwq-32b", "stream": True, "enable_thinking": False}, "thinking_restricted"),
        ({"model": "qwen3-8b"}, "thinking_must_be_off"),
        ({"model": "qwen3-235b-a22b"}, "thinking_must_be_off"),
        ({"model": "qwen3-8b", "enable_thinking": False}, None),
        ({"model": "qwen3-8b", "stream": True}, None),
        ({"model": "qwen3-max"}, None),
        ({"model": "qwen3.7-plus"}, None),
        ({"enable_thinking": True}, None),
        ({"n": 4}, None),
        ({"n": 5}, "n_range"),
        ({"n": 0}, "n_range"),
        ({"max_tokens": 0}, "max_tokens_range"),
        ({"max_tokens": "many"}, "max_tokens_range"),
        ({"response_format": JSON}, "json_word_missing"),
        ({"response_format": JSON, "enable_thinking": True}, "json_with_thinking"),
        ({"response_format": {"type": "text"}, "enable_thinking": True}, None),
    ],
)
def test_refusals(params: dict[str, Any], line: str | None) -> None:
    body = {"model": "qwen-plus", "messages": [{"role": "user", "content": "Hi"}], **params}
    assert refusal(body) == line


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ([], "body_not_json"),
        ({"messages": [{}]}, "no_model"),
        ({"model": "", "messages": [{}]}, "no_model"),
        ({"model": "m"}, "no_messages"),
        ({"model": "m", "messages": []}, "no_messages"),
        ({"model": "m", "messages": ["hi"]}, "no_messages"),
        ({"model": "m", "messages": [{"role": "user"}]}, None),
    ],
)
def test_shapes(body: object, line: str | None) -> None:
    assert shape_refusal(body) == line


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("qwen-plus", None, False),
        ("qwen-plus", True, True),
        ("qwen3-8b", None, True),
        ("qwen3.5-plus", None, True),
        ("qwen3.5-plus", False, False),
        ("qwq-32b", None, True),
    ],
)
def test_who_thinks(model: str, asked: bool | None, expected: bool) -> None:
    assert thinks({"model": model, "enable_thinking": asked}) is expected
