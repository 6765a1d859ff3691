"""One call: what goes out, what comes back, and what is raised."""

from __future__ import annotations

import asyncio
import json
import socket
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import aioresponses
from raw_server import STREAM_HEAD, Then, http, loopback_tls, raw_server

from runner.client import Client
from runner.errors import (
    AnsweredError,
    AttemptFailed,
    IncompleteReply,
    JobError,
    TimedOut,
    Unreachable,
    Untrusted,
)
from runner.records import Reply, Request, Usage
from runner.simulator import Scenario, SimulatorSettings, error_lines, serve
from runner.simulator.scenario import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.simulator.error_lines import Line

KEY = "sk-not-a-real-key-4711"
BASE_URL = "http://127.0.0.1:9/compatible-mode/v1"
URL = f"{BASE_URL}/chat/completions"
CA_PEM = str(Path(__file__).with_name("loopback_ca.pem"))
BODY = '{"model":"qwen-plus","messages":[{"role":"user","content":"你是誰？"}]}'.encode()
REQUEST = Request(row=0, body=BODY, key="0" * 32, model="qwen-plus")
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"content": "我是通義千問。"}}
        ],
        "created": 1716430652,
        "model": "qwen-plus",
        "usage": {"completion_tokens": 18, "prompt_tokens": 22, "total_tokens": 40},
    }
).encode()


def client(base_url: str = BASE_URL, **options: Any) -> Client:
    return Client(base_url, KEY, **{"stream": False, "concurrency": 4, **options})


async def failure(sender: Client) -> AttemptFailed:
    async with sender:
        with pytest.raises(AttemptFailed) as caught:
            await sender.send(REQUEST)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


async def test_a_plain_call_brings_the_reply() -> None:
    with aioresponses() as mocked:
        mocked.post(URL, body=ANSWER, headers={"x-request-id": "r-1"})
        async with client() as sender:
            reply = await sender.send(REQUEST)
    assert (reply.completion, reply.finish_reason) == ("我是通義千問。", "stop")
    assert (reply.usage, reply.request_id, reply.ttft_s) == (Usage(22, 18, 40), "r-1", None)
    assert reply.latency_s > 0


async def test_the_body_goes_out_as_it_is_with_one_set_of_headers() -> None:
    async with (
        raw_server(http(ANSWER)) as server,
        client(server.base_url, user_agent="penstock/0.1") as sender,
    ):
        await sender.send(REQUEST)
    assert server.bodies == [BODY]
    first, *lines = server.heads[0].strip().split("\r\n")
    assert first == "POST /v1/chat/completions HTTP/1.1"
    assert sorted(line for line in lines if not line.startswith("Host:")) == [
        "Accept-Encoding: gzip, deflate",
        "Accept: application/json",
        f"Authorization: Bearer {KEY}",
        f"Content-Length: {len(BODY)}",
        "Content-Type: application/json",
        "User-Agent: penstock/0.1",
    ]


async def test_a_streamed_call_asks_for_the_stream_and_its_usage() -> None:
    done = (
        b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    async with (
        raw_server(STREAM_HEAD + done) as server,
        client(server.base_url, stream=True) as sender,
    ):
        assert (await sender.send(REQUEST)).completion == "a"
    assert json.loads(server.bodies[0]) == {
        **json.loads(BODY),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert server.bodies[0].startswith(BODY[:-1])
    assert "Accept: text/event-stream" in server.heads[0]


async def test_one_connection_serves_many_calls() -> None:
    async with (
        raw_server(http(ANSWER)) as server,
        client(server.base_url) as sender,
    ):
        for _ in range(3):
            await sender.send(REQUEST)
    assert (server.connections, len(server.bodies)) == (1, 3)


async def test_the_server_may_queue_a_burst_and_the_client_waits_longer() -> None:
    async with (
        raw_server(http(ANSWER), Then.HANGS) as server,
        client(server.base_url, wait_timeout_s=29.5) as sender,
    ):
        await sender.send(REQUEST)
    assert "X-DashScope-Wait-Timeout: 30" in server.heads[0]
    async with raw_server(Then.HANGS) as server:
        error = await failure(client(server.base_url, timeout_s=0.02, wait_timeout_s=0.03))
    assert "within 0.05 s" in str(error)


@pytest.mark.parametrize("stream", [False, True])
async def test_no_answer_in_time_is_a_timeout(stream: bool) -> None:
    async with raw_server(Then.HANGS) as server:
        error = await failure(client(server.base_url, stream=stream, timeout_s=0.03))
    assert type(error) is TimedOut
    assert error.billed_unknown
    assert f"no complete answer from 127.0.0.1:{server.port} within 0.03 s" in str(error)


async def test_half_an_answer_in_time_is_a_timeout_too() -> None:
    async with raw_server(http(ANSWER)[:-10], Then.HANGS) as server:
        error = await failure(client(server.base_url, timeout_s=0.03))
    assert type(error) is TimedOut


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_that_breaks_before_the_answer_is_no_connection(stream: bool) -> None:
    async with raw_server(Then.DROPS) as server:
        error = await failure(client(server.base_url, stream=stream))
    assert type(error) is Unreachable
    assert not error.billed_unknown


async def test_a_connection_that_breaks_within_the_answer_leaves_its_beginning() -> None:
    async with raw_server(http(ANSWER)[:-10], Then.DROPS) as server:
        error = await failure(client(server.base_url))
    assert isinstance(error, IncompleteReply)
    assert error.text.startswith('{"id": "chatcmpl-1"')
    assert (error.partial, error.billed_unknown) == (None, True)


async def test_nobody_listening_says_so_with_host_and_reason() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    error = await failure(client(f"http://127.0.0.1:{port}/v1"))
    assert type(error) is Unreachable
    assert str(error) == f"no connection to 127.0.0.1:{port}: Connection refused"


async def test_a_name_that_does_not_resolve_says_so() -> None:
    error = await failure(client("http://no-such-host.invalid/v1"))
    assert type(error) is Unreachable
    assert "the name no-such-host.invalid cannot be resolved" in str(error)


async def test_an_answer_that_is_not_http_says_so() -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as server:
        error = await failure(client(server.base_url))
    assert "something that is not HTTP" in str(error)


async def test_cancelling_a_call_passes_through_and_frees_its_connection() -> None:
    async with raw_server(Then.HANGS) as server, client(server.base_url) as sender:
        task = asyncio.create_task(sender.send(REQUEST))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async with raw_server(http(ANSWER)) as elsewhere:
        location = f"Location: {elsewhere.base_url}/chat/completions"
        async with raw_server(http(b"", location, status="307 Temporary Redirect")) as server:
            error = await failure(client(server.base_url))
    assert isinstance(error, AnsweredError)
    assert error.status == 307
    assert elsewhere.base_url in str(error)
    assert elsewhere.heads == []


async def test_a_proxy_is_asked_in_place_of_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with raw_server(http(ANSWER)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        async with client("http://endpoint.example/v1") as sender:
            assert (await sender.send(REQUEST)).completion == "我是通義千問。"
    assert proxy.heads[0].startswith("POST http://endpoint.example/v1/chat/completions HTTP/1.1")
    assert "Proxy-Authorization: Basic" in proxy.heads[0]


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        ("407 Proxy Authentication Required", AnsweredError, "does not let us through"),
        ("503 Service Unavailable", Unreachable, "does not reach endpoint.example:443"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, status: str, kind: type[AttemptFailed], told: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with raw_server(http(b"", status=status)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        error = await failure(client("https://endpoint.example/v1"))
    assert type(error) is kind
    assert told in str(error)
    assert "secret" not in str(error)
    assert proxy.heads[0].startswith("CONNECT endpoint.example:443 HTTP/1.1")
    assert KEY not in proxy.heads[0]


async def test_tls_with_the_users_authority_works() -> None:
    async with (
        raw_server(http(ANSWER), tls=loopback_tls()) as server,
        client(server.base_url, ca_file=CA_PEM) as sender,
    ):
        assert (await sender.send(REQUEST)).completion == "我是通義千問。"


async def test_an_untrusted_certificate_names_its_issuer_and_the_flag_and_gets_no_key() -> None:
    async with raw_server(http(ANSWER), tls=loopback_tls()) as server:
        sender = client(server.base_url)
        async with sender:
            outcomes = await asyncio.gather(
                *(sender.send(REQUEST) for _ in range(5)), return_exceptions=True
            )
    assert [type(outcome) for outcome in outcomes] == [Untrusted] * 5
    assert "issued by 'Example Root, Example Inspection'" in str(outcomes[0])
    assert "--ca-file" in str(outcomes[0])
    assert not [head for head in server.heads if KEY in head]
    assert len(server.heads) <= 1  # the issuer is asked for once, however many fail


async def test_https_to_a_server_that_speaks_http_says_so() -> None:
    async with TestServer(web.Application()) as server:
        error = await failure(client(f"https://127.0.0.1:{server.port}/v1"))
    assert type(error) is Unreachable
    assert "no TLS with" in str(error)


def echoed(key: str) -> bytes:
    said = {"message": f"Incorrect API key provided: {key}", "code": f"no {key}"}
    return http(json.dumps({"error": said}).encode(), f"x-key: {key}", status="401 Unauthorized")


@pytest.mark.parametrize(
    "answer",
    [
        echoed,
        lambda key: http(f"<p>{key}".encode()),
        lambda key: http(f"{key} is wrong".encode(), status="500 Oops"),
        lambda key: http(b"", f"Location: http://h/?k={key}", status="302 Found"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_that_the_server_repeats_is_hidden(
    answer: Callable[[str], bytes], stream: bool
) -> None:
    async with raw_server(answer(KEY)) as server:
        error = await failure(client(server.base_url, stream=stream))
    assert KEY not in f"{error} {error!r} {vars(error)}"


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(client())


@pytest.mark.parametrize("key", ["", "sk-\n", "sk-a b", "sk-ключ", "sk-\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(JobError, match="the API key is empty, or holds") as caught:
        Client(BASE_URL, key, stream=False, concurrency=1)
    assert not key or key not in str(caught.value)


async def test_lists_the_models_that_the_key_may_use() -> None:
    listing = {"object": "list", "data": [{"id": "qwen-plus"}, {"id": "qwen-flash"}]}
    with aioresponses() as mocked:
        mocked.get(f"{BASE_URL}/models", payload=listing)
        async with client() as sender:
            assert await sender.list_models() == ["qwen-plus", "qwen-flash"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, '{"error":{"code":"invalid_api_key","message":"m"}}', AnsweredError),
        (404, "not here", AnsweredError),
        (200, "<html>", IncompleteReply),
        (200, '{"data":null}', IncompleteReply),
        (200, '{"data":[{}]}', IncompleteReply),
    ],
)
async def test_a_listing_that_fails_is_told_like_any_attempt(
    status: int, body: str, kind: type[AttemptFailed]
) -> None:
    with aioresponses() as mocked:
        mocked.get(f"{BASE_URL}/models", status=status, body=body)
        async with client() as sender:
            with pytest.raises(kind):
                await sender.list_models()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "line",
    [line for line in error_lines().values() if line.how != "hang"],
    ids=lambda line: line.name,
)
async def test_whatever_the_stand_in_server_answers_is_a_reply_or_one_of_our_errors(
    line: Line, stream: bool
) -> None:
    scenario = Scenario((Rule(line=line),))
    async with (
        serve(SimulatorSettings(scenario=scenario)) as server,
        client(server.base_url, stream=stream) as sender,
    ):
        try:
            outcome: Any = await sender.send(REQUEST)
        except AttemptFailed as error:
            outcome = error
    if line.how in {"error", "data_prefixed"} and line.raw is None:
        assert isinstance(outcome, AnsweredError)
        told = line.message.replace("{model}", REQUEST.model)
        assert (outcome.status, outcome.code, outcome.message) == (line.status, line.code, told)
    elif line.how in {"gzip", "huge", "no_usage"}:
        assert isinstance(outcome, Reply)
    else:
        assert isinstance(outcome, AnsweredError | IncompleteReply | Unreachable)
