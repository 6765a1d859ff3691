"""The bare loop to compare with: workers, aiohttp, orjson, uvloop, and nothing else."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import orjson
import uvloop

_QUESTION = "A question of the usual length, asked again and again. " * 11


async def main(url: str, requests: int, workers: int) -> None:
    rows = iter(range(requests))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def work() -> None:
            for row in rows:
                messages = [{"role": "user", "content": f"{row} {_QUESTION}"}]
                body = orjson.dumps({"model": "qwen-plus", "messages": messages})
                headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
                async with session.post(url, data=body, headers=headers) as answer:
                    reply = orjson.loads(await answer.read())
                assert reply["choices"][0]["message"]["content"]

        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(work())


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
