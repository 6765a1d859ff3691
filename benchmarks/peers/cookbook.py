"""The OpenAI cookbook's api_request_parallel_processor.py, from the user's own copy of it.

Its limits are set out of the way; it starts a request a millisecond at most. One token a byte
stands in for its tokenizer, which it would fetch from a network.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
import tempfile
from pathlib import Path

import tiktoken

QUESTION = "A question of the usual length, asked again and again. " * 11
PER_MINUTE = 100_000_000  # its own limits are not what is measured


def main(base_url: str, requests: int, script: str) -> None:
    tiktoken.registry.ENCODINGS["bytes"] = tiktoken.Encoding(
        "bytes",
        pat_str=r"[\s\S]",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={},
    )
    spec = importlib.util.spec_from_file_location("the_cookbooks", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    # It takes the endpoint from the address, and that only of https.
    vars(module)["api_endpoint_from_url"] = lambda _: "chat/completions"
    process = module.process_api_requests_from_file
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.jsonl", Path(folder) / "answered.jsonl"
        with asked.open("w") as file:
            for row in range(requests):
                message = {"role": "user", "content": f"{row} {QUESTION}"}
                file.write(json.dumps({"model": "qwen-plus", "messages": [message]}) + "\n")
        asyncio.run(
            process(
                requests_filepath=str(asked),
                save_filepath=str(answered),
                request_url=base_url + "/chat/completions",
                api_key="none",
                max_requests_per_minute=PER_MINUTE,
                max_tokens_per_minute=PER_MINUTE * 10_000,
                token_encoding_name="bytes",  # noqa: S106 - no password
                max_attempts=5,
                logging_level=logging.WARNING,
            )
        )
        kept = answered.read_text().count("\n")
        assert kept == requests, f"{kept} of {requests}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[4])
