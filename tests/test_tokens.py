from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import orjson
import pytest

from runner.tokens import (
    guess_tokens,
    inexact_parts,
    load_tokenizer,
    most_prompt_tokens,
    prompt_texts,
    prompt_tokens,
)

QWEN = load_tokenizer("qwen")
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
ENGLISH = (
    "Please summarise the following customer review in two sentences, and say whether the "
    "customer would recommend the product to a friend."
)
CHINESE = "请用两句话总结下面这条顾客评论，并判断顾客是否愿意把这个产品推荐给朋友。"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "當你想查詢指定城市的天氣時非常有用。",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


# Counts that the provider printed in its documents (2025-11-11), or that others logged.
@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        ([SYSTEM, user("你是誰?")], 22),  # the page "OpenAI Chat", SDK and LangChain samples
        ([SYSTEM, user("你是谁？")], 22),  # the same in simplified script, Batch Chat page
        ([user("你是誰?")], 11),  # the page's curl sample, which prints 11
        ([user("Hello!")], 10),  # a logged call
        # The two lines of the page "OpenAI compatible - Batch (file input)", 2026-06, and what they
        # were billed in its result file.
        ([SYSTEM, user("你好！有什么可以帮助你的吗？")], 26),
        ([SYSTEM, user("What is 2+2?")], 26),
    ],
)
def test_published_samples_count_exactly(messages: list[dict[str, Any]], tokens: int) -> None:
    body = {"model": "qwen-plus", "messages": messages}
    assert prompt_tokens(body, QWEN) == tokens
    assert inexact_parts(body) == ()


def test_parts_of_text_count_as_the_text_and_images_are_told() -> None:
    plain = {"messages": [user("Hello!")]}
    parts: dict[str, Any] = {"messages": [user([{"type": "text", "text": "Hello!"}])]}
    assert prompt_tokens(parts, QWEN) == prompt_tokens(plain, QWEN)
    assert inexact_parts(parts) == ()
    parts["messages"][0]["content"].append({"type": "image_url", "image_url": {"url": "https://a"}})
    assert prompt_tokens(parts, QWEN) == prompt_tokens(plain, QWEN)
    assert inexact_parts(parts) == ("images",)


def test_tools_count_their_definition_and_the_instructions_around_it() -> None:
    without = {"messages": [SYSTEM, user("北京天气如何?")]}
    with_tools = {**without, "tools": [WEATHER]}
    definition = QWEN.count([json.dumps(WEATHER, ensure_ascii=False)])[0]
    added = prompt_tokens(with_tools, QWEN) - prompt_tokens(without, QWEN)
    assert added == definition + 89
    assert inexact_parts(with_tools) == ("tools",)
    # Without a system message the tools make one of their own.
    alone = {"messages": [user("北京天气如何?")]}
    assert prompt_tokens({**alone, "tools": [WEATHER]}, QWEN) - prompt_tokens(alone, QWEN) == (
        added + 5
    )


def test_a_round_of_tool_calls_counts_calls_names_and_results() -> None:
    call = {"name": "get_current_weather", "arguments": '{"location": "杭州"}'}
    messages = [
        user("杭州天气怎么样?"),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        },
        {"role": "tool", "content": "杭州今天是雨天。", "name": "get_current_weather"},
    ]
    body = {"messages": messages, "tools": [WEATHER]}
    texts, around = prompt_texts(body)
    assert "杭州今天是雨天。" in texts
    assert "get_current_weather" in texts
    assert any('"arguments"' in text for text in texts)
    assert around > 3 * 5 + 3
    assert inexact_parts(body) == ("name", "tools")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": "hello"},
        {"messages": [None, 7]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [None]}]},
        {"messages": [user([None, {"type": "text"}, "x"])], "tools": {}},
    ],
)
def test_a_body_that_the_provider_will_refuse_is_still_counted(body: dict[str, Any]) -> None:
    assert prompt_tokens(body, QWEN) >= 3
    assert set(inexact_parts(body)) <= {"tools", "images", "name"}


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_the_guess_from_bytes_is_somewhat_high_on_prose(text: str) -> None:
    body = {"model": "qwen-plus", "messages": [user(text * 5)]}
    assert 1.0 < guess_tokens(orjson.dumps(body)) / prompt_tokens(body, QWEN) < 1.5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "7",
        "1234567890" * 50,
        "\x00\x01" * 90,
        "😀🧵" * 40,
        "क़\u0f76" * 60,
        "\u0344" * 99,
        "啊 " * 9,
    ],
)
def test_no_prompt_exceeds_its_bound(content: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": content}}
    body = {
        "messages": [
            user(content),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": content},
        ],
        "tools": [WEATHER],
    }
    assert prompt_tokens(body, QWEN) <= most_prompt_tokens(orjson.dumps(body))


def test_importing_loads_no_tokenizer_and_finding_it_never_imports_dashscope() -> None:
    code = (
        "import sys, runner.tokens as t; t.guess_tokens(b'{}'); early = set(sys.modules)\n"
        "t.load_tokenizer(None); late = set(sys.modules)\n"
        "assert not early & {'tiktoken', 'tokenizers', 'dashscope'}, early\n"
        "assert 'tiktoken' in late and 'dashscope' not in late\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
