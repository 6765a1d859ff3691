"""What does a run cost beside a bare client loop, in the same minutes on one machine?

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
def server(latency_s: float, notes: Path | None = None) -> Iterator[str]:
    """Its base URL; `notes` receives when each client first asked."""
    more = [] if notes is None else [str(notes)]
    command = [sys.executable, str(_HERE / "server.py"), str(latency_s), *more]
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


def bare_loop(url: str, requests: int, workers: int, *, stream: bool = False) -> list[str]:
    mode = ["stream"] if stream else []
    return [sys.executable, str(_HERE / "bare.py"), url, str(requests), str(workers), *mode]


def whole_way(
    base_url: str, dataset: Path, workers: int, run: str, *, stream: bool = False
) -> list[str]:
    return [
        sys.executable, "-c", "from jobs.cli import main; main()", "generate", str(dataset), "-p",
        "{{ row_number }} {{ text }}", "--base-url", base_url, "--concurrency", str(workers),
        "--quiet", "--yes", "-o", run, "--stream" if stream else "--no-stream",
    ]  # fmt: skip


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def start_of(commands: list[list[str]], folder: Path) -> Cost:
    """Python, the imports and the command's own beginning, which are no part of a row's cost."""
    costs = [measure(command, folder) for command in commands]
    return Cost(
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.wall_s for cost in costs),
        max(cost.peak_mb for cost in costs),
    )


def compare(
    folder: Path, *, rows: int, workers: int, latency_s: float, pairs: int, stream: bool = False
) -> None:
    dataset, first = folder / f"{rows}.parquet", folder / "first.parquet"
    texts = pa.table({"row_number": list(range(rows)), "text": [_QUESTION] * rows})
    pq.write_table(texts, dataset)
    pq.write_table(texts.slice(0, 1), first)
    cpu: list[float] = []
    speed: list[float] = []
    bare_ms: list[float] = []
    with server(latency_s) as base_url, tempfile.TemporaryDirectory(dir=folder) as runs:
        url = f"{base_url}/chat/completions"
        idle = start_of([bare_loop(url, 0, 1)] * 3, folder)
        one = start_of([whole_way(base_url, first, 1, f"{runs}/one-{n}") for n in range(3)], folder)
        for pair in range(pairs):
            bare = measure(bare_loop(url, rows, workers, stream=stream), folder)
            run = f"{runs}/{pair}"
            whole = measure(whole_way(base_url, dataset, workers, run, stream=stream), folder)
            cpu.append((whole.cpu_s - one.cpu_s) / (bare.cpu_s - idle.cpu_s))
            speed.append((bare.wall_s - idle.wall_s) / (whole.wall_s - one.wall_s))
            bare_ms.append((bare.cpu_s - idle.cpu_s) / rows * 1e3)
    print(
        f"| {'streamed' if stream else 'plain'} | {rows:,} | {workers:,} | "
        f"{latency_s * 1000:.0f} ms | {spread(cpu)} | {spread(speed)} | "
        f"{statistics.median(bare_ms):.3f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; medians of {options.pairs} interleaved pairs, least to greatest\n"
    )
    print(
        "| replies | rows | workers | latency | CPU, bare loop = 1 | throughput, likewise | ",
        end="",
    )
    print("bare loop, CPU ms a request |\n|---|---|---|---|---|---|---|", flush=True)
    rows, pairs = options.rows, options.pairs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare(folder, rows=rows, workers=200, latency_s=0.0, pairs=pairs)
        compare(folder, rows=rows, workers=200, latency_s=0.05, pairs=pairs)
        compare(folder, rows=rows, workers=200, latency_s=0.0, pairs=pairs, stream=True)
        compare(folder, rows=rows // 2, workers=10, latency_s=0.0, pairs=pairs)
        compare(folder, rows=rows, workers=5000, latency_s=0.05, pairs=pairs)
        compare(folder, rows=rows * 5, workers=200, latency_s=0.0, pairs=max(1, pairs // 2))


if __name__ == "__main__":
    main()
