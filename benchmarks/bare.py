"""The bare loop to compare with: workers, aiohttp, orjson, uvloop, and nothing else."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import orjson
import uvloop

_QUESTION = "A question of the usual length, asked again and again. " * 11


async def read_whole(answer: aiohttp.ClientResponse) -> str:
    text: str = orjson.loads(await answer.read())["choices"][0]["message"]["content"]
    return text


async def read_stream(answer: aiohttp.ClientResponse) -> str:
    """The texts of all events, joined, as anybody would write it."""
    texts: list[str] = []
    async for line in answer.content:
        if line.startswith(b"data: {"):
            choices = orjson.loads(line[6:])["choices"]
            texts.extend(choice["delta"].get("content") or "" for choice in choices)
    return "".join(texts)


async def main(url: str, requests: int, workers: int, *, stream: bool) -> None:
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    read = read_stream if stream else read_whole
    rows = iter(range(requests))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def work() -> None:
            for row in rows:
                messages = [{"role": "user", "content": f"{row} {_QUESTION}"}]
                body = orjson.dumps({"model": "qwen-plus", "messages": messages, **more})
                headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
                async with session.post(url, data=body, headers=headers) as answer:
                    assert await read(answer)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(work())


if __name__ == "__main__":
    url, requests, workers = sys.argv[1:4]
    uvloop.run(main(url, int(requests), int(workers), stream="stream" in sys.argv[4:]))
