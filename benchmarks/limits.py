"""Are the limits kept, and used, as the server sees it?

The stand-in server refuses exactly what is above the limit and measures by its own log: the
fullest second (or minute), the share of the limit that was used while there were rows left to
begin, the attempts it had to throttle. How late the server itself was at the worst stands beside
it: what arrived while it did not run, it counts as one moment.

    python benchmarks/limits.py [REPETITIONS]
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

_PENSTOCK = [sys.executable, "-c", "from jobs.cli import main; main()"]
_SECONDS = 30
_LATENCY_S = 0.125  # in the mean
_TPM, _TPM_SECONDS = 60_000, 240
_SEED = 20261124


@contextmanager
def server(*flags: str) -> Iterator[str]:
    command = [*_PENSTOCK, "simulate", "--port", "0", "--quiet", "--latency", "0.05:0.2", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with suppress(PermissionError):  # the ruler should not be what gives way
            os.setpriority(os.PRIO_PROCESS, process.pid, -10)
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def get(base_url: str, path: str) -> bytes:
    root = base_url.removesuffix("/compatible-mode/v1")
    with urllib.request.urlopen(f"{root}/{path}", timeout=60) as answer:  # noqa: S310
        body: bytes = answer.read()
    return body


class Seen:
    """What the server's log and counts say."""

    def __init__(self, base_url: str) -> None:
        self.stats: dict[str, Any] = json.loads(get(base_url, "_stats"))
        asked = (json.loads(line) for line in get(base_url, "_log").splitlines())
        # Kept in order of their ends; what counts is when they came.
        self.asked = sorted(asked, key=lambda entry: entry["at"])

    @property
    def throttled(self) -> int:
        """Attempts refused for the limit, not those that the scenario drew."""
        lines = self.stats["by_line"].items()
        return sum(count for line, count in lines if line.startswith("throttled:"))

    def while_rows_were_left(self) -> tuple[int, float]:
        """Requests and seconds from the first to the one that began the last row."""
        begun: set[str] = set()
        last = 0
        for place, entry in enumerate(self.asked):
            if entry["body"] not in begun:
                begun.add(entry["body"])
                last = place
        return last, self.asked[last]["at"] - self.asked[0]["at"]

    def tokens_of_whole_minutes(self, took_s: float) -> tuple[int, int]:
        """Tokens of the replies that ended in the whole minutes before the last row was begun."""
        _, span_s = self.while_rows_were_left()
        minutes = int(span_s // 60)
        start_s = self.asked[0]["at"] - took_s
        ended = [(entry["at"] - start_s, entry["tokens"]) for entry in self.asked]
        return sum(tokens for at_s, tokens in ended if at_s < minutes * 60), minutes


def ask(folder: Path, base_url: str, prompts: list[str], *flags: str) -> Seen:
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
    return Seen(base_url)


def measure_pace(folder: Path, qps: float, errors: str) -> None:
    rows = max(8, round(qps * _SECONDS * (0.9 if errors else 1)))
    flags = ["--errors", errors] if errors else []
    with server("--qps", str(qps), *flags) as base_url:
        prompts = [f"row {row}" for row in range(rows)]
        workers = str(max(8, min(1000, round(qps))))
        seen = ask(folder, base_url, prompts, "--qps", str(qps), "--concurrency", workers)
    requests, span_s = seen.while_rows_were_left()
    print(
        f"| {qps:g}/s{' and 10 % random 429s' if errors else ''} | {seen.stats['requests']:,} "
        f"| {seen.stats['largest_1s']} | {requests / max(span_s, 1e-9) / qps:.1%} "
        f"| {seen.throttled} | {seen.stats['late_s'] * 1000:.0f} ms |",
        flush=True,
    )


def measure_tokens(folder: Path) -> None:
    rng = random.Random(_SEED)
    mean_tokens = 500
    rows = _TPM * _TPM_SECONDS // 60 // mean_tokens
    prompts = [f"row {row} " + "word " * rng.randint(12, 240) for row in range(rows)]
    with server("--tpm", str(_TPM)) as base_url:
        seen = ask(folder, base_url, prompts, "--tpm", str(_TPM), "--concurrency", "60")
    tokens, minutes = seen.tokens_of_whole_minutes(_LATENCY_S)
    print(
        f"| {_TPM:,} tokens a minute | {seen.stats['requests']:,} "
        f"| {seen.stats['largest_60s_tokens']:,} in a minute | {tokens / minutes / _TPM:.1%} "
        f"| {seen.throttled} | {seen.stats['late_s'] * 1000:.0f} ms |",
        flush=True,
    )


def measure_sharing(folder: Path) -> None:
    """Two processes share 50/s; one is killed, and the other takes all of it."""
    qps, dataset = 50, folder / "shared.parquet"
    pq.write_table(pa.table({"prompt": [f"row {row}" for row in range(5_000)]}), dataset)
    environment = {
        **os.environ, "DASHSCOPE_API_KEY": "sk-benchmark", "XDG_CACHE_HOME": str(folder / "cache"),
    }  # fmt: skip
    with server("--qps", str(qps)) as base_url:
        runs = [
            subprocess.Popen(
                [
                    *_PENSTOCK, "generate", str(dataset), "--base-url", base_url, "--quiet",
                    "--yes", "--qps", str(qps), "--concurrency", "32", "--share", "bench",
                    "-o", tempfile.mkdtemp(dir=folder) + "/run",
                ],
                env=environment, stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]  # fmt: skip
        try:
            time.sleep(8)
            killed_s = time.time()
            runs[1].kill()
            time.sleep(8)
            seen = Seen(base_url)
        finally:
            for run in runs:
                run.kill()
                run.wait()
    alone = sum(killed_s + 3 <= entry["at"] < killed_s + 7 for entry in seen.asked)
    print(
        f"| {qps}/s shared by two, one killed | {seen.stats['requests']:,} "
        f"| {seen.stats['largest_1s']} | {alone / 4 / qps:.1%} by the survivor from 3 s on "
        f"| {seen.throttled} | {seen.stats['late_s'] * 1000:.0f} ms |",
        flush=True,
    )


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {_SECONDS} s each, seed {_SEED}\n\n"
        "| limit | requests | most in a second | used | throttled | server late by |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        for _ in range(repetitions):
            for errors in ("", "429=0.1"):
                for qps in (0.5, 3, 20, 100, 1000):
                    measure_pace(Path(name), qps, errors)
            measure_tokens(Path(name))
            measure_sharing(Path(name))


if __name__ == "__main__":
    main()
