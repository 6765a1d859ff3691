"""The stand-in server over real HTTP on the loopback."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from runner.errors import MachineFault
from runner.simulator import Simulator, serve
from runner.simulator.error_lines import error_lines
from runner.simulator.model import answer_to
from runner.simulator.scenario import Scenario
from runner.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Client:
    """Asks a running stand-in server."""

    def __init__(self, session: aiohttp.ClientSession, server: Simulator) -> None:
        self.session = session
        self.server = server
        self.root = server.base_url.removesuffix("/compatible-mode/v1")

    async def post(
        self, text: str = "Hello", *, key: str = "sk-x", data: bytes | None = None, **params: Any
    ) -> tuple[int, Any, bytes]:
        body = {"model": "qwen-plus", "messages": messages(text), **params}
        async with self.session.post(
            f"{self.server.base_url}/chat/completions",
            data=io.BytesIO(json.dumps(body).encode() if data is None else data),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            allow_redirects=False,
        ) as response:
            return response.status, response.headers, await response.read()

    async def stats(self) -> dict[str, Any]:
        async with self.session.get(f"{self.root}/_stats") as response:
            found = await response.json()
            assert isinstance(found, dict)
            return found


def messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Client]:
    async with (
        serve(SimulatorSettings(**settings)) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield Client(session, server)


def naming(**more: Any) -> Scenario:
    """Each prompt names the error line that it gets."""
    return Scenario.build({"rule": [{"matches": "^(?P<answer>[a-z_0-9]+)$", **more}]})


async def test_every_row_gets_the_answer_that_belongs_to_it() -> None:
    async with running(seed=3) as client:
        texts = [f"row {i} 你好 🚰\n" for i in range(50)]
        replies = await asyncio.gather(*(client.post(text) for text in texts))
    for text, (status, headers, raw) in zip(texts, replies, strict=True):
        body = json.loads(raw)
        assert status == 200
        assert body["choices"][0]["message"]["content"] == answer_to(messages(text), seed=3)
        assert body["id"] == f"chatcmpl-{headers['x-request-id']}"
    assert len({json.loads(raw)["id"] for _, _, raw in replies}) == 50


async def test_a_stream_ends_with_usage_where_asked_and_with_done() -> None:
    async with running() as client:
        _, headers, bare = await client.post(stream=True)
        options = {"include_usage": True}
        _, _, full = await client.post(stream=True, stream_options=options)
    assert headers["Content-Type"].startswith("text/event-stream")
    assert b'"choices":[],' not in bare
    assert b'"choices":[],' in full.split(b"\n\n")[-3]
    assert bare.endswith(b"\n\ndata: [DONE]\n\n")
    assert full.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize(
    ("request_parts", "status", "code"),
    [
        ({"key": ""}, 401, "invalid_api_key"),
        ({"key": "other"}, 401, "invalid_api_key"),
        ({"data": b"{not json"}, 400, "invalid_parameter_error"),
        ({"data": b'{"model": "qwen-plus"}'}, 400, "invalid_parameter_error"),
        ({"data": b'{"messages": [{"role": "user"}]}'}, 400, "invalid_parameter_error"),
        ({"model": "gpt-9"}, 404, "model_not_found"),
        ({"n": 9}, 400, "invalid_parameter_error"),
        ({"data": b" " * (16 * 1024 * 1024 + 1)}, 413, "RequestEntityTooLarge"),
    ],
)
async def test_requests_that_get_no_answer(
    request_parts: dict[str, Any], status: int, code: str
) -> None:
    async with running(key="sk-x", models=("qwen-plus",)) as client:
        found, headers, raw = await client.post(**request_parts)
        body = json.loads(raw)
    assert (found, body["error"]["code"]) == (status, code)
    assert body["request_id"] == headers["x-request-id"]


async def test_other_paths_methods_and_the_model_list() -> None:
    key, last = {"Authorization": "Bearer sk-x"}, {}
    async with running(models=("a", "b")) as client:
        session, base = client.session, client.server.base_url
        for method, url, headers, status in (
            ("GET", f"{base}/nowhere", key, 404),
            ("POST", f"{client.root}/_stats", key, 404),
            ("GET", f"{base}/chat/completions", key, 405),
            ("GET", f"{base}/models", {}, 401),
            ("GET", f"{client.root}/v1/models", key, 200),
        ):
            async with session.request(method, url, headers=headers) as response:
                assert response.status == status
                last = await response.json()
        assert [model["id"] for model in last["data"]] == ["a", "b"]


@pytest.mark.parametrize(
    "name", [n for n, line in error_lines().items() if line.how == "error" and line.raw is None]
)
async def test_error_lines_are_sent_as_the_table_has_them(name: str) -> None:
    line = error_lines()[name]
    async with running(scenario=naming()) as client:
        status, headers, raw = await client.post(name)
    body = json.loads(raw)
    assert status == line.status
    assert body["error"] == {
        "message": line.message.replace("{model}", "qwen-plus"),
        "type": line.type,
        "param": None,
        "code": line.code,
    }
    assert ("id" in body) == line.with_id
    assert line.headers.items() <= dict(headers).items()
    assert ("GMT" in headers.get("Retry-After", "")) == (line.retry_after_date_s is not None)


@pytest.mark.parametrize("stream", [False, True])
async def test_troubled_answers(*, stream: bool) -> None:
    async with running(scenario=naming()) as client:

        async def ask(name: str) -> tuple[int, Any, bytes]:
            return await client.post(name, stream=stream, stream_options={"include_usage": True})

        status, headers, raw = await ask("partial")
        assert (status, headers["x-dashscope-partialresponse"]) == (200, "true")
        _, _, raw = await ask("truncated_stream")
        assert b"[DONE]" not in raw
        assert raw.startswith(b"data: {" if stream else b"{")
        assert not raw.endswith(b"}")
        _, _, raw = await ask("error_in_stream")
        assert b'"code":"data_inspection_failed"' in raw
        assert b"[DONE]" not in raw
        _, _, raw = await ask("no_usage")
        assert b'"prompt_tokens"' not in raw
        _, _, raw = await ask("no_choices")
        assert b'"content"' not in raw
        _, headers, raw = await ask("gzip")
        assert headers["Content-Encoding"] == "gzip"
        assert answer_to(messages("gzip"))[:8].encode() in gzip.decompress(raw)
        status, _, raw = await ask("data_prefixed_error")
        assert status == 400
        assert raw.startswith(b'data: {"error":{')
        status, headers, raw = await ask("html")
        assert (status, headers["Content-Type"]) == (502, "text/html")
        status, headers, _ = await ask("redirect")
        assert (status, "Location" in headers) == (307, True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["drop", "broken_stream"])
async def test_a_connection_that_breaks(name: str, *, stream: bool) -> None:
    async with running(scenario=naming()) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.post(name, stream=stream)
        assert (await client.stats())["by_line"] == {name: 1}


async def test_a_client_that_gives_up_on_a_hanging_answer_is_seen() -> None:
    async with running(scenario=naming()) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post("hang"), 0.05)
        while (await client.stats())["in_flight"]:
            pass
        assert (await client.stats())["by_status"] == {"client_gone": 1}


async def test_an_answer_that_nobody_waited_for_is_billed() -> None:
    async with running(latency_s=(60.0, 60.0)) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post(), 0.05)
        while (stats := await client.stats())["in_flight"]:
            pass
    assert (stats["answered"], stats["by_status"]) == (0, {"client_gone": 1})
    assert stats["completion_tokens"] > 0


async def test_a_delayed_stream_comes_in_pieces_and_whole() -> None:
    async with running(latency_s=(0.02, 0.03)) as client:
        _, _, raw = await client.post(stream=True)
    events = [json.loads(event[6:]) for event in raw.split(b"\n\n")[:-2]]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == answer_to(messages("Hello"))


async def test_limits_throttle_with_the_provider_s_bodies_and_are_seen_in_the_stats() -> None:
    async with running(rpm=5) as client:
        replies = [await client.post(f"row {i}") for i in range(8)]
        statuses = [status for status, _, _ in replies]
        assert statuses == [200] * 5 + [429] * 3
        assert json.loads(replies[-1][2])["error"]["code"] == "limit_requests"
        stats = await client.stats()
    assert stats["by_line"] == {"answer": 5, "throttled:limit_requests": 3}
    assert stats["largest_60s"] == 8


async def test_limits_hold_per_model() -> None:
    async with running(rpm=1) as client:
        found = [(await client.post(model=model))[0] for model in ("a", "a", "b")]
    assert found == [200, 429, 200]


async def test_a_tokens_limit_answers_with_insufficient_quota() -> None:
    async with running(tpm=20) as client:
        first, second = await client.post("a"), await client.post("b")
    assert first[0] == 200
    assert json.loads(second[2])["error"]["code"] == "insufficient_quota"


async def test_stats_log_file_and_reset_tell_the_same_story(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    async with running(log_path=path, scenario=naming(attempt=1)) as client:
        statuses = [(await client.post(t))[0] for t in ("overloaded", "overloaded", "Hi", "Hi")]
        assert statuses == [503, 200, 200, 200]
        stats = await client.stats()
        async with client.session.get(f"{client.root}/_log") as response:
            kept = [json.loads(line) for line in (await response.read()).splitlines()]
        async with client.session.post(f"{client.root}/_reset") as response:
            assert response.status == 200
        assert (await client.stats())["requests"] == 0
        assert (await client.post("overloaded"))[0] == 503
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["status"] for line in lines] == [*statuses, 503]
    assert lines[0]["prompt"] == "overloaded"
    assert [(e["at"], e["body"], e["status"]) for e in kept] == [
        (line["at"], line["body"], line["status"]) for line in lines[:4]
    ]
    assert (stats["requests"], stats["answered"], stats["distinct_bodies"]) == (4, 3, 2)
    assert (stats["asked_again"], stats["answered_again"]) == (2, 1)
    assert stats["asked_again_bodies"] == {
        lines[0]["body"]: {"asked": 2, "answered": 1},
        lines[2]["body"]: {"asked": 2, "answered": 2},
    }
    billed = sum(line["prompt_tokens"] + line["completion_tokens"] for line in lines[:4])
    assert stats["prompt_tokens"] + stats["completion_tokens"] == billed
    assert stats["largest_60s_tokens"] == billed


async def test_it_starts_again_on_the_same_port() -> None:
    async with running() as client:
        port = int(client.root.rpartition(":")[2])
    async with running(port=port) as client:
        assert (await client.post())[0] == 200


async def test_a_taken_port_is_a_plain_message() -> None:
    async with running() as client:
        port = int(client.root.rpartition(":")[2])
        with pytest.raises(MachineFault, match=f"--port {port}: cannot listen there"):
            async with running(port=port):
                pass


async def test_stopping_does_not_wait_for_answers_on_their_way_but_logs_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.jsonl"
    async with aiohttp.ClientSession() as session:
        async with serve(SimulatorSettings(latency_s=(60.0, 60.0), log_path=path)) as server:
            client = Client(session, server)
            asking = asyncio.gather(
                *(client.post(str(i)) for i in range(3)), return_exceptions=True
            )
            while (await client.stats())["in_flight"] < 3:
                pass
        assert all(isinstance(error, aiohttp.ClientError) for error in await asking)
    assert [json.loads(line)["status"] for line in path.read_text().splitlines()] == [499] * 3


@pytest.mark.parametrize(("header", "statuses"), [("120", {200}), ("soon", {200, 429})])
async def test_a_wait_header_queues_a_burst_instead_of_refusing_it(
    header: str, statuses: set[int]
) -> None:
    async with running(growth=2.0) as client:
        client.session.headers["X-DashScope-Wait-Timeout"] = header
        replies = await asyncio.gather(*(client.post(str(i)) for i in range(30)))
        stats = await client.stats()
    assert {status for status, _, _ in replies} == statuses
    assert stats["by_line"].get("throttled:limit_burst_rate", 0) == (0 if header == "120" else 10)


async def test_a_huge_body_is_huge() -> None:
    async with running(scenario=naming()) as client:
        _, _, raw = await client.post("huge")
    assert len(raw) > 32 * 1024 * 1024
    assert json.loads(raw)["model"] == "qwen-plus"
