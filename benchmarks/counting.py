"""Does `penstock estimate` count at the tokenizer's own speed?

Pairs of two ways over the same prompts, on every core: the whole command, from its start to its
table, and tiktoken alone, whose processes have their share of the prompts in memory before the
clock begins. Ratios of the two, as the median of interleaved pairs with the least and greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from runner.tokens import load_tokenizer

_SEED = 20261124
_ESTIMATE = "from jobs.cli import main; main()"
_PIECE = 20_000
_MB = 1024  # ru_maxrss is in KB here


def words() -> list[str]:
    """The licence and docstrings of this Python: prose with names, numbers and code in it."""
    texts = [json.__doc__, argparse.__doc__, random.__doc__, tempfile.__doc__, os.__doc__]
    for module in (argparse, json, os, random, statistics, subprocess, tempfile):
        texts += [getattr(module, name).__doc__ for name in dir(module) if name[0] != "_"]
    return " ".join(text for text in texts if text).split()


def write_prompts(path: Path, rows: int) -> None:
    dice, known = random.Random(_SEED), words()
    schema = pa.schema({"prompt": pa.string()})
    with pq.ParquetWriter(path, schema) as file:
        # Piece by piece: the peak of a process begins with the size of the one that starts it.
        for start in range(0, rows, _PIECE):
            prompts = []
            for _ in range(start, min(rows, start + _PIECE)):
                at = dice.randrange(len(known) - 100)
                prompts.append(" ".join(known[at : at + dice.randrange(45, 90)]))
            file.write_table(pa.table({"prompt": prompts}, schema))


def alone(path: str, part: int, of: int) -> None:
    """The life of one process of tiktoken's: its share of the prompts, encoded and forgotten."""
    encode = load_tokenizer("qwen")._encode  # type: ignore[attr-defined]
    prompts = pq.read_table(path).column("prompt").to_pylist()[part::of]
    encode("warm")
    print("ready", flush=True)
    sys.stdin.readline()
    before = time.process_time()
    tokens = sum([len(encode(prompt)) for prompt in prompts])
    print(tokens, time.process_time() - before, flush=True)


def tiktoken_alone(path: Path) -> tuple[int, float, float]:
    """Tokens, CPU seconds and seconds of encoding alone."""
    cores = len(os.sched_getaffinity(0))
    code = "import sys; sys.path.insert(0, {!r}); from counting import alone; alone({!r}, {}, {})"
    here = str(Path(__file__).parent)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(here, str(path), part, cores)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for part in range(cores)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    started = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate()[0].split() for process in processes]
    seconds = time.monotonic() - started
    return sum(int(one[0]) for one in found), sum(float(one[1]) for one in found), seconds


def penstock(path: Path) -> tuple[float, float, float]:
    """CPU seconds, seconds, and the peak memory in MB of the whole command."""
    command = [sys.executable, "-c", _ESTIMATE, "estimate", str(path), "--json", "-p"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with subprocess.Popen([*command, "{{ prompt }}"], stdout=subprocess.DEVNULL) as process:
        _, status, own = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        sys.exit(f"estimate ended with {process.returncode}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, seconds, own.ru_maxrss / _MB


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "prompts.parquet"
        write_prompts(path, options.rows)
        speed, cpu, peaks, rates = [], [], [], []
        tokens = 0
        for _ in range(options.pairs):
            tokens, cpu_s, seconds = tiktoken_alone(path)
            own_cpu_s, own_s, peak_mb = penstock(path)
            speed.append(seconds / own_s)
            cpu.append(cpu_s / own_cpu_s)
            peaks.append(peak_mb)
            rates.append(tokens / seconds / 1e6)
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores: {options.rows:,} prompts of {tokens / options.rows:.0f} tokens; "
        f"tiktoken alone {statistics.median(rates):.1f} million tokens/s; "
        f"estimate, start and table included, {spread(speed)} of its throughput, "
        f"{spread(cpu)} of its tokens a CPU second; peak memory of the command {max(peaks):.0f} MB"
    )


if __name__ == "__main__":
    main()
