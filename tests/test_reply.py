"""Completion and error objects, as servers write them, in our shapes."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.client.reply import find_error, first_words, load_json, mended, read_reply, read_usage
from runner.records import Reply, Usage

SEED_REPLY = {
    "id": "chatcmpl-xxx",
    "choices": [
        {
            "finish_reason": "stop",
            "index": 0,
            "logprobs": None,
            "message": {
                "content": "我是來自阿里雲的超大規模預訓練模型，我叫通義千問。",
                "role": "assistant",
                "function_call": None,
                "tool_calls": None,
            },
        }
    ],
    "created": 1716430652,
    "model": "qwen-plus",
    "object": "chat.completion",
    "system_fingerprint": None,
    "usage": {"completion_tokens": 18, "prompt_tokens": 22, "total_tokens": 40},
}


def read(found: object) -> Reply:
    reply = read_reply(found, request_id="r-1", latency_s=0.5)
    assert reply is not None
    return reply


def with_message(**message: Any) -> Reply:
    return read({"choices": [{"message": message, "finish_reason": "stop"}]})


def test_reads_the_seed_documents_own_reply() -> None:
    assert read(SEED_REPLY) == Reply(
        completion="我是來自阿里雲的超大規模預訓練模型，我叫通義千問。",
        reasoning=None,
        tool_calls=None,
        choices=None,
        finish_reason="stop",
        model="qwen-plus",
        response_id="chatcmpl-xxx",
        created=1716430652,
        usage=Usage(22, 18, 40),
        request_id="r-1",
        latency_s=0.5,
    )


def test_what_a_server_leaves_out_is_none() -> None:
    reply = read({"choices": [{"message": {"content": "a"}}]})
    assert (reply.created, reply.model, reply.finish_reason, reply.usage) == (None,) * 4


def test_the_request_id_in_the_body_stands_in_for_the_header() -> None:
    found = {**SEED_REPLY, "request_id": "from-body"}
    reply = read_reply(found, request_id=None, latency_s=0.1)
    assert reply is not None
    assert reply.request_id == "from-body"


@pytest.mark.parametrize(
    ("message", "completion", "reasoning"),
    [
        ({"content": "a"}, "a", None),
        ({"content": ""}, "", None),
        ({"content": None}, "", None),
        ({}, "", None),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", None),
        ({"content": ["a", {"type": "image_url"}, "b"]}, "ab", None),
        ({"content": "a", "reasoning_content": "because"}, "a", "because"),
        ({"content": "a", "reasoning": "because"}, "a", "because"),
        ({"content": "a", "reasoning_content": ""}, "a", None),
        ({"content": None, "refusal": "I will not"}, "I will not", None),
        ({"content": {"odd": 1}}, '{"odd":1}', None),
    ],
)
def test_reads_text_however_the_message_holds_it(
    message: dict[str, Any], completion: str, reasoning: str | None
) -> None:
    reply = with_message(**message)
    assert (reply.completion, reply.reasoning) == (completion, reasoning)


@pytest.mark.parametrize("content", ["", None])
def test_tool_calls_alone_are_no_completion(content: str | None) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    reply = with_message(content=content, tool_calls=calls)
    assert reply.completion is None
    assert json.loads(reply.tool_calls or "") == calls


def test_all_choices_are_kept_when_there_are_several() -> None:
    choices = [{"index": at, "message": {"content": str(at)}} for at in range(3)]
    reply = read({"choices": choices})
    assert reply.completion == "0"
    assert json.loads(reply.choices or "") == choices


def test_log_probabilities_that_were_asked_for_are_kept() -> None:
    choice = {"index": 0, "message": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}
    assert json.loads(read({"choices": [choice]}).choices or "") == [choice]


@pytest.mark.parametrize(
    "found", [None, [], {}, {"choices": []}, {"choices": None}, {"choices": "a"}, {"choices": [1]}]
)
def test_without_choices_there_is_no_reply(found: object) -> None:
    assert read_reply(found, request_id=None, latency_s=0.1) is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ("40", None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 22, "completion_tokens": 18}, Usage(22, 18, 40)),
        ({"prompt_tokens": 22.0, "total_tokens": 22, "completion_tokens": None}, Usage(22, 0, 22)),
        (
            {
                "prompt_tokens": 3000,
                "completion_tokens": 100,
                "total_tokens": 3100,
                "prompt_tokens_details": {"cached_tokens": 2048},
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
            Usage(3000, 100, 3100, 2048, 60),
        ),
        (
            {"prompt_tokens": 2, "total_tokens": 5, "prompt_tokens_details": None},
            Usage(2, 0, 5),
        ),
    ],
)
def test_reads_usage(usage: object, expected: Usage | None) -> None:
    assert read_usage(usage) == expected


@pytest.mark.parametrize("created", [float("inf"), 10**30, "soon", [1], 1.5])
def test_a_time_that_fits_no_column_is_left_out(created: object) -> None:
    assert read({**SEED_REPLY, "created": created}).created is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {
                "error": {
                    "message": "Incorrect API key provided. ",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_api_key",
                },
                "request_id": "r-2",
            },
            ("invalid_api_key", "Incorrect API key provided. ", "r-2"),
        ),
        ({"error": {"message": "m", "type": "t", "code": None}, "id": "c-1"}, ("t", "m", "c-1")),
        ({"error": {"message": "m", "code": 429}}, ("429", "m", None)),
        ({"error": {"message": {"deep": 1}}}, ("", '{"deep":1}', None)),
        ({"error": "text"}, ("", "text", None)),
        ({"code": "Throttling", "message": "m", "request_id": "r"}, ("Throttling", "m", "r")),
        ({"object": "error", "message": "m", "code": 404}, ("404", "m", None)),
        ({"detail": "Not Found"}, ("", "Not Found", None)),
        ({"detail": [{"loc": ["body"]}]}, ("", '[{"loc":["body"]}]', None)),
        (SEED_REPLY, None),
        ({"choices": [], "usage": {"total_tokens": 1}}, None),
        ({"error": None, "choices": [{}]}, None),
        ([], None),
    ],
)
def test_finds_an_error_however_it_is_wrapped(
    found: object, said: tuple[str, str, str | None] | None
) -> None:
    assert find_error(found) == said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>\r\n<head><title>502 Bad\nGateway</title></head>", "502 Bad Gateway"),
        (b"<TITLE id=a> Sign in </TITLE>", "Sign in"),
        (b"<title>Error <b>503</b></title>", "Error 503"),
        (b"<html>502 Bad Gateway</html>", "502 Bad Gateway"),
        (b"<html>\n<body>\n<h1>503</h1>\nNo server", "503"),
        (b"<html></html>", "<html></html>"),
        (b"a <b and\nc> d", "a <b and"),
        (b"\n\n upstream connect error\nmore", "upstream connect error"),
        (b"", ""),
        (b"x" * 1000, "x" * 300 + "..."),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_page_is_told_by_its_title_and_a_text_by_its_first_line(body: bytes, words: str) -> None:
    assert first_words(body) == words


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (rb'["\ud83d\ude00"]', ["😀"]),
        (rb'["a\ud83d"]', ["a\ufffd"]),
        (rb'["\ude00b", "c"]', ["\ufffdb", "c"]),
        (b"[-Infinity, NaN, 1]", [None, None, 1]),
        (b'["\xff"]', ["\ufffd"]),
        (b"\xef\xbb\xbf[1]", [1]),
    ],
)
def test_loads_json_that_strict_readers_refuse(body: bytes, value: object) -> None:
    found = load_json(body)
    assert found == value
    orjson.dumps(found)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"a":1}x', b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's, json's and ours
        load_json(body)


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_mended_text_can_always_be_encoded_and_sound_text_is_left_alone(text: str) -> None:
    mended(text).encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert mended(text) == text
