"""How answers are written down."""

from __future__ import annotations

import json
from typing import Any

from runner.simulator.model import answer_to, reasoning_for, tokens_by_bytes
from runner.simulator.reply import Answer, answer_request, plain_body, stream_events

MESSAGES = [{"role": "user", "content": "北京天氣如何?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"city": {}}}}}


def ask(*, thinks: bool = False, **params: Any) -> Answer:
    body = {"model": "qwen-plus", "messages": MESSAGES, **params}
    return answer_request(
        body,
        reply_id="chatcmpl-1",
        created=1,
        seed=0,
        count=tokens_by_bytes,
        thinks=thinks,
        cached_tokens=0,
    )


def chunks(answer: Answer, *, usage: bool = False) -> list[dict[str, Any]]:
    events = stream_events(answer, usage=usage)
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    return [json.loads(event[6:]) for event in events]


def joined(found: list[dict[str, Any]], key: str, index: int = 0) -> str:
    choices = [choice for chunk in found for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(key) or "" for choice in choices)


def test_a_plain_body_has_the_fields_of_the_document() -> None:
    body = json.loads(plain_body(ask()))
    assert sorted(body) == sorted(
        ("choices", "object", "usage", "created", "system_fingerprint", "model", "id")
    )
    assert body["choices"] == [
        {
            "message": {"role": "assistant", "content": answer_to(MESSAGES)},
            "finish_reason": "stop",
            "index": 0,
            "logprobs": None,
        }
    ]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_thinking_comes_before_the_answer_and_is_billed() -> None:
    answer = ask(thinks=True)
    body = json.loads(plain_body(answer))
    assert body["choices"][0]["message"]["reasoning_content"] == reasoning_for(MESSAGES)
    details = body["usage"]["completion_tokens_details"]
    assert details["reasoning_tokens"] == tokens_by_bytes(reasoning_for(MESSAGES))
    assert body["usage"]["completion_tokens"] > details["reasoning_tokens"]

    found = chunks(answer)
    assert joined(found, "reasoning_content") == reasoning_for(MESSAGES)
    assert joined(found, "content") == answer_to(MESSAGES)
    kinds = ["reasoning_content" in c["choices"][0]["delta"] for c in found[1:-1]]
    assert kinds == sorted(kinds, reverse=True)


def test_a_stream_joins_to_the_plain_answer_and_ends_with_its_usage() -> None:
    answer = ask(n=3)
    found = chunks(answer, usage=True)
    for index in range(3):
        assert joined(found, "content", index) == answer_to(MESSAGES, seed=index)
    assert found[-1]["choices"] == []
    assert found[-1]["usage"] == json.loads(plain_body(answer))["usage"]
    assert all(chunk["usage"] is None for chunk in found[:-1])
    assert chunks(answer) == found[:-1]


def test_streamed_tool_calls_join_to_the_plain_ones() -> None:
    answer = ask(tools=[TOOL])
    plain = json.loads(plain_body(answer))["choices"][0]
    deltas = [c["choices"][0]["delta"].get("tool_calls", []) for c in chunks(answer)]
    parts = [part["function"] for delta in deltas for part in delta]
    call = plain["message"]["tool_calls"][0]["function"]
    assert plain["finish_reason"] == "tool_calls"
    assert parts[0]["name"] == call["name"]
    assert "".join(part["arguments"] for part in parts) == call["arguments"]


def test_a_long_answer_comes_in_a_bounded_number_of_events() -> None:
    messages = [{"role": "user", "content": str(i)} for i in range(2_000)]
    longest = max(([message] for message in messages), key=lambda m: len(answer_to(m)))
    body = {"model": "m", "messages": longest}
    answer = answer_request(
        body,
        reply_id="c",
        created=1,
        seed=0,
        count=tokens_by_bytes,
        thinks=False,
        cached_tokens=0,
    )
    assert len(stream_events(answer, usage=True)) <= 67
