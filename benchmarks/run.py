"""`make bench`: what a run costs beside a bare client loop, in the same minutes on one machine.

Absolute times say little on a shared machine, so every figure is a ratio: CPU seconds of the
client process per 1,000 requests, and requests per second, whole way over bare loop, as the median
of interleaved pairs with the least and the greatest beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_QUESTION = "A question of the usual length, asked again and again. " * 11


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


@contextmanager
def server(latency_s: float) -> Iterator[str]:
    command = [sys.executable, str(_HERE / "server.py"), str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        process.kill()


def measure(command: list[str], cwd: Path) -> Cost:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    environment = {**os.environ, "DASHSCOPE_API_KEY": "sk-benchmark"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    wall_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_s, wall_s, after.ru_maxrss / 1024)


def whole_way(base_url: str, dataset: Path, workers: int, run: str) -> list[str]:
    return [
        sys.executable, "-c", "from jobs.cli import main; main()", "generate", str(dataset), "-p",
        "{{ row_number }} {{ text }}", "--base-url", base_url, "--concurrency", str(workers),
        "--quiet", "--yes", "-o", run,
    ]  # fmt: skip


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def compare(folder: Path, *, rows: int, workers: int, latency_s: float, pairs: int) -> None:
    dataset = folder / f"{rows}.parquet"
    texts = pa.table({"row_number": list(range(rows)), "text": [_QUESTION] * rows})
    pq.write_table(texts, dataset)
    # The start of Python and the imports are not part of a request's cost.
    idle = [sys.executable, str(_HERE / "bare.py"), "http://127.0.0.1:1", "0", "1"]
    empty_s = measure(idle, folder).cpu_s
    first = folder / "first.parquet"
    pq.write_table(texts.slice(0, 1), first)
    cpu: list[float] = []
    speed: list[float] = []
    bare_per_1000: list[float] = []
    with server(latency_s) as base_url:
        one = measure(whole_way(base_url, first, 1, f"one-{workers}-{latency_s}"), folder)
        for pair in range(pairs):
            url = f"{base_url}/chat/completions"
            loop = [sys.executable, str(_HERE / "bare.py"), url, str(rows), str(workers)]
            bare = measure(loop, folder)
            run = f"run-{workers}-{latency_s}-{pair}"
            whole = measure(whole_way(base_url, dataset, workers, run), folder)
            cpu.append((whole.cpu_s - one.cpu_s) / (bare.cpu_s - empty_s))
            speed.append((bare.wall_s - empty_s) / (whole.wall_s - one.wall_s))
            bare_per_1000.append((bare.cpu_s - empty_s) / rows * 1000)
    print(
        f"{rows:>9,} rows, {workers:>5,} workers, {latency_s * 1000:>3.0f} ms: "
        f"CPU {spread(cpu)} of the bare loop's, throughput {spread(speed)}; "
        f"bare loop {statistics.median(bare_per_1000):.3f} CPU s per 1,000",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=200)
    options = parser.parse_args()
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {platform.machine()}; medians of {options.pairs} interleaved "
        "pairs, least to greatest"
    )
    with tempfile.TemporaryDirectory() as name:
        for latency_s in (0.0, 0.05):
            compare(
                Path(name),
                rows=options.rows,
                workers=options.workers,
                latency_s=latency_s,
                pairs=options.pairs,
            )


if __name__ == "__main__":
    main()
