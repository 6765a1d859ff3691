"""What most people write first: AsyncOpenAI and a semaphore's worth of workers. Keeps nothing."""

from __future__ import annotations

import asyncio
import sys

from openai import AsyncOpenAI, DefaultAioHttpClient

QUESTION = "A question of the usual length, asked again and again. " * 11


async def main(base_url: str, requests: int, workers: int, backend: str) -> None:
    http_client = DefaultAioHttpClient() if backend == "aiohttp" else None
    async with AsyncOpenAI(base_url=base_url, api_key="none", http_client=http_client) as client:
        rows = iter(range(requests))

        async def work() -> None:
            for row in rows:
                reply = await client.chat.completions.create(
                    model="qwen-plus",
                    messages=[{"role": "user", "content": f"{row} {QUESTION}"}],
                )
                assert reply.choices[0].message.content

        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(work())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
