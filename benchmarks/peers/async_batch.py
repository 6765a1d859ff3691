"""async-batch-llm by its own short form, with or without its JSONL checkpoint."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from async_batch_llm import (  # type: ignore[import-not-found]
    JsonlArtifactStore,
    OpenAICompatibleModel,
    OpenAIStrategy,
    process_prompts,
)

QUESTION = "A question of the usual length, asked again and again. " * 11


async def main(base_url: str, requests: int, workers: int, checkpoint: str) -> None:
    model = OpenAICompatibleModel.from_api_key("qwen-plus", api_key="none", base_url=base_url)
    prompts = [f"{row} {QUESTION}" for row in range(requests)]
    with tempfile.TemporaryDirectory() as name:
        store = (
            JsonlArtifactStore(Path(name) / "kept.jsonl") if checkpoint == "checkpoint" else None
        )
        batch = await process_prompts(
            OpenAIStrategy(model), prompts, concurrency=workers, artifact_store=store
        )
    assert batch.succeeded == requests, batch.summary()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
