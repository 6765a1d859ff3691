"""curator over its OpenAI backend, with its own cache of requests and responses on disk.

Its tokenizer would be fetched from a network; one token a byte stands in for it, which is cheaper.
"""

from __future__ import annotations

import os
import sys
import tempfile

QUESTION = "A question of the usual length, asked again and again. " * 11
PER_MINUTE = 100_000_000  # its own limits are not what is measured


def main(base_url: str, requests: int, workers: int) -> None:
    os.environ |= {"OPENAI_API_KEY": "none", "TELEMETRY_ENABLED": "false"}
    os.environ |= {"CURATOR_DISABLE_RICH_DISPLAY": "1", "HF_HUB_OFFLINE": "1"}
    import tiktoken  # noqa: PLC0415 - the settings above hold from the import on
    from bespokelabs import curator  # type: ignore[import-not-found]  # noqa: PLC0415

    bytes_alone = tiktoken.Encoding(
        "o200k_base",
        pat_str=r"[\s\S]",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={},
    )
    tiktoken.registry.ENCODINGS |= {"o200k_base": bytes_alone, "cl100k_base": bytes_alone}
    with tempfile.TemporaryDirectory() as folder:
        model = curator.LLM(
            model_name="gpt-4o",
            backend="openai",
            backend_params={
                "base_url": base_url,
                "max_requests_per_minute": PER_MINUTE,
                "max_tokens_per_minute": PER_MINUTE * 10_000,
                "max_concurrent_requests": workers,
            },
        )
        answers = model([f"{row} {QUESTION}" for row in range(requests)], working_dir=folder)
        dataset = getattr(answers, "dataset", answers)
        assert len(dataset) == requests, f"{len(dataset)} of {requests}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
