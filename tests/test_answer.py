"""Bodies that are no completion, or more than one bargained for."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from aioresponses import aioresponses
from raw_server import Then, http, raw_server

from runner.client import Client, answer
from runner.errors import AnsweredError, AttemptFailed, IncompleteReply
from runner.records import Reply, Request, Usage

BASE_URL = "http://127.0.0.1:9/v1"
REQUEST = Request(row=0, body=b'{"model":"m"}', key="0" * 32, model="m")
USAGE = {"prompt_tokens": 22, "completion_tokens": 18, "total_tokens": 40}
COMPLETION = {"choices": [{"message": {"content": "half a"}}], "usage": USAGE}


def sender(base_url: str = BASE_URL) -> Client:
    return Client(base_url, "sk-x", stream=False, concurrency=1)


async def answer_to(status: int, body: bytes | str, **headers: str) -> Reply | AttemptFailed:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with aioresponses() as mocked:
        mocked.post(f"{BASE_URL}/chat/completions", status=status, body=body, headers=named)
        async with sender() as client:
            try:
                return await client.send(REQUEST)
            except AttemptFailed as error:
                return error


async def error_of(status: int, body: bytes | str, **headers: str) -> AnsweredError:
    error = await answer_to(status, body, **headers)
    assert isinstance(error, AnsweredError)
    return error


async def incomplete(body: bytes | str, **headers: str) -> IncompleteReply:
    error = await answer_to(200, body, **headers)
    assert isinstance(error, IncompleteReply)
    return error


async def test_an_error_is_given_with_status_code_message_headers_and_request_id() -> None:
    body = {
        "error": {
            "message": "Incorrect API key provided. ",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        },
        "request_id": "from-body",
    }
    error = await error_of(401, json.dumps(body), Retry_After="7")
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.message == "Incorrect API key provided. "
    assert error.headers["retry-after"] == "7"
    assert error.request_id == "from-body"
    assert not error.billed_unknown


async def test_the_request_id_header_goes_before_the_bodys() -> None:
    error = await error_of(500, '{"error":{"message":"m"},"request_id":"b"}', x_request_id="h")
    assert error.request_id == "h"


@pytest.mark.parametrize(
    "body",
    [
        'data: {"error":{"code":"data_inspection_failed","message":"Output data"}}\n\n',
        'data: {"error":{"code":"data_inspection_failed","message":"Output data"}}',
        'event:error\n:400\ndata:{"code":"data_inspection_failed","message":"Output data"}',
    ],
)
async def test_an_error_body_that_is_an_event_is_read(body: str) -> None:
    error = await error_of(400, body)
    assert (error.code, error.message) == ("data_inspection_failed", "Output data")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<html><head><title>502 Bad Gateway</title></head><body>x</body>", "502 Bad Gateway"),
        ("upstream connect error\nmore", "upstream connect error"),
        ('{"unexpected": true}', '{"unexpected": true}'),
        ("", "Bad Gateway"),
    ],
)
async def test_a_gateways_error_keeps_its_title_or_first_line(body: str, message: str) -> None:
    assert (await error_of(502, body)).message == message


async def test_an_error_under_http_200_is_an_error() -> None:
    error = await error_of(200, '{"error":{"code":"internal_error","message":"m"}}')
    assert (error.status, error.code) == (200, "internal_error")


async def test_the_providers_own_time_running_out_leaves_a_partial_reply() -> None:
    error = await incomplete(json.dumps(COMPLETION), x_dashscope_partialresponse="true")
    assert error.partial is not None
    assert (error.partial.completion, error.partial.usage) == ("half a", Usage(22, 18, 40))
    assert not error.billed_unknown


async def test_the_header_of_partial_answers_may_also_say_no() -> None:
    reply = await answer_to(200, json.dumps(COMPLETION), x_dashscope_partialresponse="false")
    assert isinstance(reply, Reply)


@pytest.mark.parametrize(
    ("body", "told", "text"),
    [
        ("", "is not JSON but: nothing at all", ""),
        (
            "<html><title>Sign in</title>",
            "is not JSON but: Sign in",
            "<html><title>Sign in</title>",
        ),
        ('{"choices": [{"mess', "is not JSON but", '{"choices": [{"mess'),
        ('{"choices": []}', "holds no choices", '{"choices": []}'),
        ('{"choices": [7]}', "holds no choices", '{"choices": [7]}'),
        ("[]", "holds no choices", "[]"),
    ],
)
async def test_a_200_that_is_no_completion_is_incomplete_and_its_beginning_kept(
    body: str, told: str, text: str
) -> None:
    error = await incomplete(body)
    assert told in str(error)
    assert (error.text, error.partial, error.billed_unknown) == (text, None, True)


async def test_a_completion_without_choices_still_tells_its_cost() -> None:
    error = await incomplete(json.dumps({"choices": [], "usage": USAGE}))
    assert error.partial is not None
    assert error.partial.usage == Usage(22, 18, 40)


@pytest.mark.parametrize("message", [7, "text", [1], {"content": "a", "tool_calls": 7}])
async def test_a_message_of_an_unexpected_shape_ends_no_run(message: Any) -> None:
    outcome = await answer_to(200, json.dumps({"choices": [{"message": message}]}))
    assert isinstance(outcome, Reply | IncompleteReply)


async def test_lone_surrogates_do_not_lose_the_row() -> None:
    reply = await answer_to(200, rb'{"choices":[{"message":{"content":"a\ud83d"}}]}')
    assert isinstance(reply, Reply)
    assert reply.completion == "a\ufffd"


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_compressed_answers_are_read(encoding: str, pack: Any) -> None:
    body = pack(json.dumps(COMPLETION).encode())
    async with (
        raw_server(http(body, f"Content-Encoding: {encoding}")) as server,
        sender(server.base_url) as client,
    ):
        assert (await client.send(REQUEST)).completion == "half a"


async def test_a_damaged_encoding_is_an_incomplete_answer() -> None:
    async with (
        raw_server(http(b"nonsense", "Content-Encoding: gzip")) as server,
        sender(server.base_url) as client,
    ):
        with pytest.raises(IncompleteReply):
            await client.send(REQUEST)


async def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "LARGEST_REPLY", 1000)
    async with raw_server(http(b" " * 100_000)) as server, sender(server.base_url) as client:
        with pytest.raises(IncompleteReply, match="longer than anything that a model answers"):
            await client.send(REQUEST)


async def test_a_large_answer_is_read_whole() -> None:
    body = b" " * 5_000_000 + json.dumps(COMPLETION).encode()
    async with raw_server(http(body)) as server, sender(server.base_url) as client:
        assert (await client.send(REQUEST)).completion == "half a"


async def test_of_an_endless_error_the_beginning_is_read() -> None:
    head = b"HTTP/1.1 500 Oops\r\nContent-Length: 999999999\r\n\r\n"
    async with (
        raw_server(head + b"overloaded\n" + b"x" * 200_000, Then.HANGS) as server,
        sender(server.base_url) as client,
    ):
        with pytest.raises(AnsweredError, match="overloaded"):
            await client.send(REQUEST)


async def test_an_error_whose_body_breaks_off_is_still_that_error() -> None:
    head = b"HTTP/1.1 503 Overloaded\r\nContent-Length: 1000\r\n\r\nplease wait"
    async with raw_server(head, Then.DROPS) as server, sender(server.base_url) as client:
        with pytest.raises(AnsweredError, match="HTTP 503: please wait"):
            await client.send(REQUEST)


async def test_a_long_message_is_cut() -> None:
    error = await error_of(400, json.dumps({"error": {"message": "x" * 10_000}}))
    assert len(error.message) == 2000


@pytest.mark.parametrize("stream", [False, True])
async def test_a_head_of_other_bytes_than_utf_8_can_be_written_down(*, stream: bool) -> None:
    head = "HTTP/1.1 403 Acc\xe8s refus\xe9\r\nx-request-id: r\xe9\r\nX-Why: \xe8\r\n"
    for more, told in (
        ("", "HTTP 403: Acc\ufffds refus\ufffd"),
        ("Location: /\xe9\r\n", "redirected to /\ufffd;"),
    ):
        said = f"{head}{more}Content-Length: 0\r\n\r\n".encode("latin-1")
        async with (
            raw_server(said) as server,
            Client(server.base_url, "sk-x", stream=stream, concurrency=1) as client,
        ):
            with pytest.raises(AnsweredError) as caught:
                await client.send(REQUEST)
        error = caught.value
        assert told in str(error)
        assert (error.request_id, error.headers["x-why"]) == ("r\ufffd", "\ufffd")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_id_of_other_bytes_than_utf_8_can_be_written_down(*, stream: bool) -> None:
    kind = "text/event-stream" if stream else "application/json"
    body = json.dumps(COMPLETION)
    if stream:
        event = {"choices": [{"delta": {"content": "half a"}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nx-request-id: r\xe9\r\n"
    said = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin-1")
    async with (
        raw_server(said) as server,
        Client(server.base_url, "sk-x", stream=stream, concurrency=1) as client,
    ):
        assert (await client.send(REQUEST)).request_id == "r\ufffd"
