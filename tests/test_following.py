"""Streams: whole, cut up, broken, silent, or not streams at all."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_server import STREAM_HEAD, Then, http, raw_server

from runner.client import Client, following
from runner.errors import AnsweredError, AttemptFailed, IncompleteReply, TimedOut
from runner.records import Reply, Request, Usage

REQUEST = Request(row=0, body=b'{"model":"m"}', key="0" * 32, model="m")
USAGE = {"prompt_tokens": 22, "completion_tokens": 18, "total_tokens": 40}


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c-1", "choices": choices, **more}).encode() + b"\n\n"


ROLE = event({"role": "assistant", "content": ""})
TEXT = event({"content": "half "}) + event({"content": "a word"})
END = event({"content": ""}, "stop")
COST = event(usage=USAGE)
DONE = b"data: [DONE]\n\n"
WHOLE = ROLE + TEXT + END + COST + DONE


async def follow(*pieces: bytes | Then, **options: Any) -> Reply | AttemptFailed:
    async with (
        raw_server(*pieces) as server,
        Client(server.base_url, "sk-x", stream=True, concurrency=1, **options) as client,
    ):
        try:
            return await client.send(REQUEST)
        except AttemptFailed as error:
            return error


async def reply_to(*pieces: bytes | Then, **options: Any) -> Reply:
    outcome = await follow(*pieces, **options)
    assert isinstance(outcome, Reply), outcome
    return outcome


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


CHUNKED_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


async def test_a_whole_stream_is_one_reply() -> None:
    reply = await reply_to(STREAM_HEAD, ROLE, TEXT, END, COST, DONE)
    assert (reply.completion, reply.finish_reason) == ("half a word", "stop")
    assert (reply.usage, reply.request_id) == (Usage(22, 18, 40), "r-1")
    assert reply.ttft_s is not None
    assert 0 < reply.ttft_s <= reply.latency_s


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, len(WHOLE) - 1), max_size=8))
async def test_any_cut_gives_the_same_reply(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[start:end] for start, end in itertools.pairwise(at)]
    reply = await reply_to(STREAM_HEAD, *pieces)
    assert (reply.completion, reply.usage) == ("half a word", Usage(22, 18, 40))


async def test_line_ends_of_another_kind_and_comments_do_not_matter() -> None:
    lines = WHOLE.replace(b"\n\n", b"\r\n\r\n: keep-alive\r\n\r\n")
    assert (await reply_to(STREAM_HEAD, lines)).completion == "half a word"


async def test_a_compressed_stream_is_read() -> None:
    head = STREAM_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
    assert (await reply_to(head, gzip.compress(WHOLE))).completion == "half a word"


async def test_the_connection_serves_the_next_stream() -> None:
    body = CHUNKED_HEAD + chunked(WHOLE) + b"0\r\n\r\n"
    async with (
        raw_server(body) as server,
        Client(server.base_url, "sk-x", stream=True, concurrency=1) as client,
    ):
        for _ in range(3):
            assert (await client.send(REQUEST)).completion == "half a word"
    assert server.connections == 1


async def test_after_done_a_server_that_does_not_hang_up_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "_LAST_BYTES_S", 0.01)
    reply = await reply_to(CHUNKED_HEAD + chunked(WHOLE), Then.HANGS, idle_timeout_s=0.1)
    assert reply.completion == "half a word"


async def test_after_done_a_broken_connection_does_no_harm() -> None:
    reply = await reply_to(CHUNKED_HEAD + chunked(WHOLE), Then.DROPS)
    assert reply.completion == "half a word"


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (ROLE + TEXT + END + COST, Usage(22, 18, 40)),  # no [DONE]
        (ROLE + TEXT + END, None),  # neither [DONE] nor usage
        (ROLE + TEXT + END + DONE, None),
        (ROLE + TEXT + END + COST + b"data: [DONE]", Usage(22, 18, 40)),  # no last blank line
    ],
)
async def test_an_answer_that_has_its_reason_to_end_is_whole(
    body: bytes, usage: Usage | None
) -> None:
    reply = await reply_to(STREAM_HEAD, body)
    assert (reply.completion, reply.usage) == ("half a word", usage)


@pytest.mark.parametrize("ending", [(), (Then.DROPS,)])
async def test_an_answer_that_breaks_off_leaves_what_there_was(ending: tuple[Then, ...]) -> None:
    error = await follow(CHUNKED_HEAD + chunked(ROLE + TEXT), b"0\r\n\r\n" * (not ending), *ending)
    assert isinstance(error, IncompleteReply)
    assert error.broke_off
    assert error.partial is not None
    assert (error.partial.completion, error.partial.usage) == ("half a word", None)
    assert error.billed_unknown


async def test_done_without_an_answer_is_incomplete() -> None:
    error = await follow(STREAM_HEAD, COST, DONE)
    assert isinstance(error, IncompleteReply)
    assert not error.broke_off
    assert not error.billed_unknown


async def test_an_error_in_mid_stream_is_an_error_and_what_came_before_is_kept() -> None:
    said = {"code": "data_inspection_failed", "message": "Output data may contain"}
    body = b"data: " + json.dumps({"error": said, "request_id": "r-2"}).encode() + b"\n\n"
    error = await follow(STREAM_HEAD, ROLE, TEXT, body, DONE)
    assert isinstance(error, AnsweredError)
    assert (error.status, error.code) == (200, "data_inspection_failed")
    assert error.partial is not None
    assert error.partial.completion == "half a word"
    assert error.billed_unknown


@pytest.mark.parametrize("head", [http, lambda body: STREAM_HEAD + body])
async def test_an_error_in_place_of_a_stream_is_that_error(head: Any) -> None:
    error = await follow(head(b'{"error":{"code":"Throttling","message":"m"}}'))
    assert isinstance(error, AnsweredError)
    assert error.code == "Throttling"


async def test_a_server_that_answers_whole_is_understood() -> None:
    whole = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    body = http(json.dumps(whole).encode(), "Content-Type: application/json; charset=utf-8")
    assert (await reply_to(body)).completion == "whole"


async def test_a_page_in_place_of_a_stream_is_incomplete() -> None:
    error = await follow(http(b"<html><title>Sign in</title>", "Content-Type: text/html"))
    assert isinstance(error, IncompleteReply)
    assert error.text == "<html><title>Sign in</title>"
    assert "Sign in" in str(error)


async def test_a_piece_that_is_no_json_is_incomplete() -> None:
    error = await follow(STREAM_HEAD, TEXT, b"data: {broken\n\n")
    assert isinstance(error, IncompleteReply)
    assert error.text == "{broken"
    assert error.partial is not None


@pytest.mark.parametrize("piece", [b"7", b"[]", b'{"choices":7}', b'{"choices":[{"delta":7}]}'])
async def test_a_piece_of_an_unexpected_shape_ends_no_run(piece: bytes) -> None:
    assert isinstance(await follow(STREAM_HEAD, TEXT, b"data: " + piece + b"\n\n"), IncompleteReply)


async def test_a_stream_that_falls_silent_is_given_up_with_what_it_brought() -> None:
    error = await follow(STREAM_HEAD, ROLE, TEXT, Then.HANGS, idle_timeout_s=0.03)
    assert isinstance(error, TimedOut)
    assert "fell silent for 0.03 s" in str(error)
    assert error.partial is not None
    assert error.partial.completion == "half a word"
    assert error.billed_unknown


async def test_before_the_first_token_silence_may_be_longer() -> None:
    options = {"idle_timeout_s": 0.01, "first_chunk_timeout_s": 0.05}
    error = await follow(STREAM_HEAD, ROLE, b": queued\n\n", Then.HANGS, **options)
    assert isinstance(error, TimedOut)
    assert "no first token" in str(error)
    assert "within 0.05 s" in str(error)


async def test_the_whole_stream_has_a_time_limit_too() -> None:
    options = {"timeout_s": 0.05, "idle_timeout_s": 60.0}
    error = await follow(STREAM_HEAD, ROLE, TEXT, Then.HANGS, **options)
    assert isinstance(error, TimedOut)
    assert "no complete answer" in str(error)
    assert error.partial is not None
