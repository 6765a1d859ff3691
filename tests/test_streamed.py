"""Chunks of a streamed answer, joined."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.client.streamed import StreamedReply
from runner.records import Reply, Usage


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    head = {"id": "chatcmpl-1", "created": 1719286190, "model": "qwen-plus", "usage": None}
    return json.dumps({**head, "choices": choices, **more}).encode()


def piece(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"delta": delta, "finish_reason": finish, "index": index, "logprobs": None}


def join(*events: bytes) -> StreamedReply:
    streamed = StreamedReply()
    for event in events:
        streamed.add(event)
    return streamed


def reply_of(*events: bytes) -> Reply:
    reply = join(*events).reply(request_id="r-1", latency_s=2.0, ttft_s=0.5)
    assert reply is not None
    return reply


def test_joins_the_seed_documents_own_chunks() -> None:
    texts = ["", "我是", "來自", "阿里", "雲的大規模語言模型", "，我叫通義千問。"]
    usage = {"completion_tokens": 16, "prompt_tokens": 22, "total_tokens": 38}
    reply = reply_of(
        *(chunk(piece({"content": text, "role": None})) for text in texts),
        chunk(piece({"content": ""}, "stop")),
        chunk(usage=usage),
        b"[DONE]",
    )
    assert reply == Reply(
        completion="我是來自阿里雲的大規模語言模型，我叫通義千問。",
        reasoning=None,
        tool_calls=None,
        choices=None,
        finish_reason="stop",
        model="qwen-plus",
        response_id="chatcmpl-1",
        created=1719286190,
        usage=Usage(22, 16, 38),
        request_id="r-1",
        latency_s=2.0,
        ttft_s=0.5,
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_comes_before_content_and_apart_from_it(field: str) -> None:
    reply = reply_of(
        chunk(piece({field: "Let me ", "content": None})),
        chunk(piece({field: "think.", "content": None})),
        chunk(piece({field: None, "content": "Four."}, "stop")),
    )
    assert (reply.reasoning, reply.completion) == ("Let me think.", "Four.")


def test_tool_calls_are_joined_by_their_index() -> None:
    def call(index: int, **parts: Any) -> bytes:
        return chunk(piece({"content": "", "tool_calls": [{"index": index, **parts}]}))

    reply = reply_of(
        call(0, id="call_a", type="function", function={"name": "weather", "arguments": ""}),
        call(1, id="call_b", type="function", function={"name": "time", "arguments": ""}),
        call(0, id="", function={"arguments": '{"city":'}),
        call(1, id="", function={"name": None, "arguments": "{}"}),
        call(0, id="", function={"name": "", "arguments": ' "杭州"}'}),
        chunk(piece({}, "tool_calls")),
    )
    assert reply.completion is None
    assert reply.finish_reason == "tool_calls"
    assert [
        (
            call["id"],
            call["type"],
            call["function"]["name"],
            json.loads(call["function"]["arguments"]),
        )
        for call in json.loads(reply.tool_calls or "")
    ] == [
        ("call_a", "function", "weather", {"city": "杭州"}),
        ("call_b", "function", "time", {}),
    ]


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    def call(**parts: Any) -> bytes:
        return chunk(piece({"tool_calls": [parts]}))

    reply = reply_of(
        call(id="a", function={"name": "f", "arguments": "{"}),
        call(function={"name": "f", "arguments": "}"}),  # the name again, whole
        call(id="b", function={"name": "g", "arguments": "[]"}),
        chunk(piece({}, "tool_calls")),
    )
    calls = [call["function"] for call in json.loads(reply.tool_calls or "")]
    assert calls == [{"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "[]"}]


def test_several_choices_grow_side_by_side() -> None:
    streamed = join(
        chunk(piece({"content": "b"}, index=1)),
        chunk(piece({"content": "a"}, index=0), piece({"content": "B"}, "stop", index=1)),
    )
    ended_before = streamed.ended
    streamed.add(chunk(piece({"content": "A"}, "length", index=0)))
    assert (ended_before, streamed.ended) == (False, True)
    reply = streamed.reply(request_id=None, latency_s=1.0, ttft_s=None)
    assert reply is not None
    assert (reply.completion, reply.finish_reason) == ("aA", "length")
    choices = json.loads(reply.choices or "")
    assert [(one["message"]["content"], one["finish_reason"]) for one in choices] == [
        ("aA", "length"),
        ("bB", "stop"),
    ]


def test_log_probabilities_are_joined() -> None:
    first = {**piece({"content": "a"}), "logprobs": {"content": [{"token": "a", "logprob": -0.1}]}}
    second = {**piece({"content": "b"}, "stop"), "logprobs": {"content": [{"token": "b"}]}}
    (choice,) = json.loads(reply_of(chunk(first), chunk(second)).choices or "")
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["a", "b"]


def test_the_halves_of_a_character_may_come_in_two_chunks() -> None:
    reply = reply_of(
        rb'{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}',
        rb'{"choices":[{"index":0,"delta":{"content":"\ude00b"}}]}',
        rb'{"choices":[{"index":0,"delta":{"content":"\ud83d"},"finish_reason":"stop"}]}',
    )
    assert reply.completion == "a😀b\ufffd"


def test_begins_with_the_first_token_not_with_the_role() -> None:
    streamed = join(chunk(piece({"role": "assistant", "content": ""})))
    assert not streamed.begun
    streamed.add(chunk(piece({"reasoning_content": "Hm"})))
    assert streamed.begun


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ([], False),
        ([b"[DONE]"], False),
        ([chunk(piece({"content": "a"}))], False),
        ([chunk(piece({"content": "a"})), b"[DONE]"], True),
        ([chunk(piece({"content": "a"}, "stop"))], True),
    ],
)
def test_has_ended_with_done_or_with_a_reason_for_every_choice(
    events: list[bytes], ended: bool
) -> None:
    assert join(*events).ended is ended


def test_without_usage_the_reply_does_not_guess_it() -> None:
    assert reply_of(chunk(piece({"content": "a"}, "stop")), b"[DONE]").usage is None


def test_nothing_yet_is_no_reply() -> None:
    assert StreamedReply().reply(request_id=None, latency_s=0.0, ttft_s=None) is None


@pytest.mark.parametrize(
    "event",
    [
        b'{"error":{"code":"data_inspection_failed","message":"Output data may contain"}}',
        b'{"code":"data_inspection_failed","message":"Output data may contain","request_id":"r"}',
        b'{"choices":[{"delta":{}}],"error":{"code":"data_inspection_failed","message":"Output"}}',
    ],
)
def test_an_error_event_is_told_and_what_came_before_is_kept(event: bytes) -> None:
    streamed = join(chunk(piece({"content": "half"})), event)
    assert streamed.error is not None
    assert streamed.error.code == "data_inspection_failed"
    reply = streamed.reply(request_id=None, latency_s=1.0, ttft_s=None)
    assert reply is not None
    assert reply.completion == "half"


def test_a_whole_answer_in_one_chunk_is_read_too() -> None:
    message = {"role": "assistant", "content": "whole"}
    reply = reply_of(chunk({"index": 0, "message": message, "finish_reason": "stop"}))
    assert reply.completion == "whole"


def test_a_piece_that_is_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own
        StreamedReply().add(b"<html>")
