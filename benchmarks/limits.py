"""`make bench`, second part: are the limits kept, and used, as the server sees it?

The stand-in server refuses exactly what is above the limit and measures by its own log: the
fullest second (or minute), the share of the limit that was used, the attempts it had to throttle.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

_PENSTOCK = [sys.executable, "-c", "from jobs.cli import main; main()"]
_SECONDS = 30
_TPM, _TPM_SECONDS = 60_000, 180
_SEED = 20261124


@contextmanager
def server(*flags: str) -> Iterator[str]:
    command = [*_PENSTOCK, "simulate", "--port", "0", "--quiet", "--latency", "0.05:0.2", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


def stats(base_url: str) -> dict[str, Any]:
    root = base_url.removesuffix("/compatible-mode/v1")
    with urllib.request.urlopen(f"{root}/_stats", timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.loads(answer.read())
    return found


def ask(folder: Path, base_url: str, prompts: list[str], *flags: str) -> dict[str, Any]:
    """Run the prompts to their end; what the server saw."""
    dataset = folder / "prompts.parquet"
    pq.write_table(pa.table({"prompt": prompts}), dataset)
    run = tempfile.mkdtemp(dir=folder)
    command = [
        *_PENSTOCK, "generate", str(dataset), "--base-url", base_url, "--quiet", "--yes",
        "-o", f"{run}/run", *flags,
    ]  # fmt: skip
    environment = {**os.environ, "DASHSCOPE_API_KEY": "sk-benchmark"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return stats(base_url)


def throttled(seen: dict[str, Any]) -> int:
    """Attempts refused for the limit, not those that the scenario drew."""
    return sum(count for line, count in seen["by_line"].items() if line.startswith("throttled:"))


def measure_pace(folder: Path, qps: float, errors: str) -> None:
    rows = max(8, round(qps * _SECONDS * (0.9 if errors else 1)))
    flags = ["--errors", errors] if errors else []
    with server("--qps", str(qps), *flags) as base_url:
        prompts = [f"row {row}" for row in range(rows)]
        workers = str(max(8, min(1000, round(qps))))
        seen = ask(folder, base_url, prompts, "--qps", str(qps), "--concurrency", workers)
    # The last second of a run with retries is their tail, not the pace.
    used = (seen["requests"] - 1) / max(seen["span_s"], 1e-9) / qps
    print(
        f"| {qps:g}/s{' and 10 % random 429s' if errors else ''} | {seen['requests']:,} "
        f"| {seen['largest_1s']} | {used:.1%} | {throttled(seen)} |",
        flush=True,
    )


def measure_tokens(folder: Path) -> None:
    rng = random.Random(_SEED)
    mean_tokens = 400
    rows = _TPM * _TPM_SECONDS // 60 // mean_tokens
    prompts = [f"row {row} " + "word " * rng.randint(12, 240) for row in range(rows)]
    with server("--tpm", str(_TPM)) as base_url:
        seen = ask(folder, base_url, prompts, "--tpm", str(_TPM), "--concurrency", "60")
    used = (seen["prompt_tokens"] + seen["completion_tokens"]) / max(seen["span_s"], 1e-9)
    print(
        f"| {_TPM:,} tokens a minute | {seen['requests']:,} | {seen['largest_60s_tokens']:,} in a "
        f"minute | {used * 60 / _TPM:.1%} | {throttled(seen)} |",
        flush=True,
    )


def main() -> None:
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {_SECONDS} s each, seed {_SEED}\n\n"
        "| limit | requests | most in a second | used | throttled |\n|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        for errors in ("", "429=0.1"):
            for qps in (0.5, 3, 20, 100, 1000):
                measure_pace(Path(name), qps, errors)
        measure_tokens(Path(name))


if __name__ == "__main__":
    main()
