"""What does a run cost beside a bare client loop, in the same minutes on one machine?

Absolute times say little on a shared machine, so every figure is a ratio, whole way over bare loop,
as the median of interleaved pairs with the least and the greatest beside it: CPU seconds of the
client process (user and system, all its threads) and requests per second. Beside them how often its
threads let go of a core by themselves: mostly to wait for each other, which a busy machine hides.

Each program runs with few rows and with four times as many. "A row more" is the difference of the
two by the difference of rows: what a long run costs, without start-up, opening connections, the
least number of parts. "All" is the longer run by its rows, less nothing but the start: what the
same program takes for one row (the bare loop: for none).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_FEWER = 4  # the shorter run has so many times fewer rows
_QUESTION = "A question of the usual length, asked again and again. " * 11


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    cpu_s: float
    wall_s: float
    waits: float  # how often a thread gave up its core by itself


@contextmanager
def server(latency_s: float, notes: Path | None = None, *, refusing: bool = False) -> Iterator[str]:
    """Its base URL; `notes` and `refusing` as `server.py` tells it."""
    more = [] if notes is None else ["--notes", str(notes)]
    more += ["--refusing"] if refusing else []
    command = [sys.executable, str(_HERE / "server.py"), str(latency_s), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
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
    return Cost(cpu_s, wall_s, after.ru_nvcsw - before.ru_nvcsw)


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


def about() -> str:
    """When, on what machine and with which versions."""
    packages = ("aiohttp", "orjson", "uvloop", "pyarrow")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        named = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        cpu = named[1] if named else cpu
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu}), "
        f"Python {platform.python_version()}, {versions}"
    )


def spread(values: list[float], digits: int = 2) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def start_of(commands: list[list[str]], folder: Path) -> Cost:
    """Python, the imports and the command's own beginning, which are no part of a row's cost."""
    costs = [measure(command, folder) for command in commands]
    return Cost(
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.waits for cost in costs),
    )


def write_dataset(folder: Path, rows: int) -> Path:
    path = folder / f"{rows}.parquet"
    if not path.exists():
        texts = {"row_number": list(range(rows)), "text": [_QUESTION] * rows}
        pq.write_table(pa.table(texts), path)
    return path


def compare(
    folder: Path, *, rows: int, workers: int, latency_s: float, pairs: int, stream: bool = False
) -> None:
    """Print one line of the table of whole way and bare loop."""
    sizes = (rows // _FEWER, rows)
    more = sizes[1] - sizes[0]
    cpu_more: list[float] = []
    cpu_all: list[float] = []
    speed_more: list[float] = []
    speed_all: list[float] = []
    bare_us: list[float] = []
    own_us: list[float] = []
    waits: list[tuple[float, float]] = []  # a 1,000 rows: of the whole way, of the bare loop
    with server(latency_s) as base_url, tempfile.TemporaryDirectory(dir=folder) as runs:
        url = f"{base_url}/chat/completions"
        one_row = write_dataset(folder, 1)
        idle = start_of([bare_loop(url, 0, 1)] * 3, folder)
        one = start_of(
            [whole_way(base_url, one_row, 1, f"{runs}/one-{n}") for n in range(3)], folder
        )
        for pair in range(pairs):
            bare: list[Cost] = []
            whole: list[Cost] = []
            for size in sizes:
                bare.append(measure(bare_loop(url, size, workers, stream=stream), folder))
                dataset, run = write_dataset(folder, size), f"{runs}/{pair}-{size}"
                way = whole_way(base_url, dataset, workers, run, stream=stream)
                whole.append(measure(way, folder))
            own_us.append((whole[1].cpu_s - whole[0].cpu_s) / more * 1e6)
            bare_us.append((bare[1].cpu_s - bare[0].cpu_s) / more * 1e6)
            cpu_more.append(own_us[-1] / bare_us[-1])
            cpu_all.append((whole[1].cpu_s - one.cpu_s) / (bare[1].cpu_s - idle.cpu_s))
            waits.append(
                (
                    (whole[1].waits - whole[0].waits) / more * 1000,
                    (bare[1].waits - bare[0].waits) / more * 1000,
                )
            )
            wall_more = whole[1].wall_s - whole[0].wall_s
            speed_more.append((bare[1].wall_s - bare[0].wall_s) / wall_more)
            speed_all.append((bare[1].wall_s - idle.wall_s) / (whole[1].wall_s - one.wall_s))
    print(
        f"| {'streamed' if stream else 'plain'} | {rows:,} | {workers:,} | "
        f"{latency_s * 1000:.0f} ms | {pairs} | {spread(cpu_more)} | {spread(cpu_all)} | "
        f"{spread(speed_more)} | {spread(speed_all)} | "
        f"{statistics.median(own_us):.0f} | {statistics.median(bare_us):.0f} | "
        f"{statistics.median(own for own, _ in waits):.0f} | "
        f"{statistics.median(bare for _, bare in waits):.0f} |",
        flush=True,
    )


def compare_retries(folder: Path, *, rows: int, pairs: int) -> None:
    """Print what an attempt more costs where none and where half of them are refused."""
    sizes = (rows // _FEWER, rows)
    found: dict[bool, list[float]] = {False: [], True: []}
    with (
        server(0.0) as willing,
        server(0.0, refusing=True) as refusing,
        tempfile.TemporaryDirectory(dir=folder) as runs,
    ):
        for pair in range(pairs):
            for refused, base_url in ((False, willing), (True, refusing)):
                few, many = (
                    measure(
                        whole_way(
                            base_url,
                            write_dataset(folder, size),
                            200,
                            f"{runs}/{pair}-{refused}-{size}",
                        ),
                        folder,
                    ).cpu_s
                    for size in sizes
                )
                attempts = (sizes[1] - sizes[0]) * (2 if refused else 1)
                found[refused].append((many - few) / attempts * 1e6)
    ratios = [half / none for none, half in zip(found[False], found[True], strict=True)]
    print("\n| refused | CPU us an attempt | none refused = 1 |\n|---|---|---|")
    print(f"| none | {spread(found[False], 0)} | 1 |")
    print(f"| half of all attempts | {spread(found[True], 0)} | {spread(ratios)} |", flush=True)


def show_ceiling(folder: Path, *, rows: int) -> None:
    """Print what the server itself can take: so much of one core does a request cost it."""
    spent_s = []
    for requests in (0, rows):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with server(0.0) as base_url:
            loop = measure(bare_loop(f"{base_url}/chat/completions", requests, 200), folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        all_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent_s.append(all_s - loop.cpu_s)
    a_request_s = (spent_s[1] - spent_s[0]) / rows
    print(
        f"\nThe server: {a_request_s * 1e6:.0f} us of CPU a request, that is "
        f"{1 / a_request_s:,.0f} requests/s of one core.",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    print(f"{about()}; medians of interleaved pairs, least to greatest\n")
    print(
        "| replies | rows | workers | latency | pairs | CPU, bare loop = 1: a row more | all | "
        "throughput, likewise: rows more | all | CPU us a row more | bare loop | "
        "threads' waits a 1,000 rows more | bare loop |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    rows, pairs = options.rows, options.pairs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare(folder, rows=rows, workers=200, latency_s=0.0, pairs=pairs)
        compare(folder, rows=rows, workers=200, latency_s=0.05, pairs=pairs)
        compare(folder, rows=rows, workers=200, latency_s=0.0, pairs=pairs, stream=True)
        for workers in (10, 1000, 5000):
            compare(folder, rows=rows, workers=workers, latency_s=0.0, pairs=pairs)
        compare(folder, rows=rows * 2, workers=5000, latency_s=0.05, pairs=pairs)
        compare(folder, rows=rows * 5, workers=200, latency_s=0.0, pairs=max(1, pairs // 2))
        compare_retries(folder, rows=rows, pairs=pairs)
        show_ceiling(folder, rows=rows)


if __name__ == "__main__":
    main()
