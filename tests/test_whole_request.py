"""What the way of our own past aiohttp's leaves, and that it costs no task."""

from __future__ import annotations

import asyncio
from typing import Any

from raw_server import RawServer, http, raw_server

from runner.client import Client
from runner.records import Request

ANSWER = b'{"choices":[{"message":{"content":"yes"}}]}'


def request(body: bytes) -> Request:
    return Request(row=0, body=body, key="0" * 32, model="m")


def client_of(server: RawServer) -> Client:
    return Client(server.base_url, "sk-x", stream=False, concurrency=1)


async def test_a_body_larger_than_every_buffer_arrives_whole_and_the_next_one_after_it() -> None:
    large, small = b'"%b"' % (b"x" * (8 << 20)), b'"y"'
    async with raw_server(http(ANSWER)) as server, client_of(server) as client:
        for body in (large, small, large):
            assert (await client.send(request(body))).completion == "yes"
    assert server.bodies == [large, small, large]
    assert server.connections == 1


async def test_every_head_differs_from_the_others_by_its_length_alone() -> None:
    async with raw_server(http(ANSWER)) as server, client_of(server) as client:
        for body in (b'"a"', "你是誰？".encode()):
            await client.send(request(body))
    first, second = server.heads
    assert "Content-Length: 3\r\n" in first
    assert second == first.replace("Content-Length: 3\r\n", "Content-Length: 12\r\n")
    assert first.startswith("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_call_on_an_open_connection_starts_no_task() -> None:
    async with raw_server(http(ANSWER)) as server, client_of(server) as client:
        await client.send(request(b'"first, which opens the connection"'))
        started: list[Any] = []

        def note(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
            started.append(work)
            return asyncio.Task(work, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(note)
        await client.send(request(b'"second"'))
        assert started == []
    assert len(server.bodies) == 2
