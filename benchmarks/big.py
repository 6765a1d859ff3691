"""`python benchmarks/big.py [--rows N]`: is memory flat, and how soon does a resume ask again?

Runs of 50,000 and of N rows, from Parquet to the last part, against a server that is never the
bottleneck; then one of N rows that is killed with half of it done, and resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from run import server, whole_way

SMALL_ROWS = 50_000
WORKERS = 200
_BATCH = 20_000
_QUESTION = "A question of the usual length, asked again and again. " * 11


def write_dataset(path: Path, rows: int) -> None:
    schema = pa.table({"row_number": [0], "text": [""]}).schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _BATCH):
            numbers = list(range(start, min(start + _BATCH, rows)))
            texts = [f"{number}: {_QUESTION}" for number in numbers]
            writer.write_table(pa.table({"row_number": numbers, "text": texts}, schema))


def begin(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "DASHSCOPE_API_KEY": "sk-benchmark"}
    return subprocess.Popen(command, cwd=folder, env=environment)


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    """Wait for its end; the most memory it ever had.

    Linux's own high-water mark, looked at again and again: the one of `wait4` also counts what this
    process had when it began the other.
    """
    peak = 0.0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) / 1024
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"a run ended with {process.returncode}")
    return peak


def first_result_s(process: subprocess.Popen[bytes], run: Path, since_ns: int) -> float:
    """Seconds from the command to the first line of a journal, which follows the first answer."""
    while process.poll() is None:
        for path in (run / "journal").glob("*.jsonl"):
            try:
                found = path.stat()
            except FileNotFoundError:  # sealed meanwhile
                continue
            if found.st_size and found.st_mtime_ns >= since_ns:
                return (found.st_mtime_ns - since_ns) / 1e9
        time.sleep(0.005)
    sys.exit("a run ended before its first answer")


def kill_half_way(process: subprocess.Popen[bytes], run: Path, rows: int) -> None:
    while process.poll() is None:
        block_rows = json.loads((run / "run.json").read_bytes())["block_rows"]
        if len(list((run / "seals").glob("*.keys"))) * block_rows >= rows / 2:
            process.kill()
            return
        time.sleep(0.05)
    sys.exit("the run was over before it could be killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name, server(0.0) as base_url:
        folder = Path(name)
        peaks = []
        for count in (SMALL_ROWS, rows):
            write_dataset(folder / f"{count}.parquet", count)
            command = whole_way(base_url, folder / f"{count}.parquet", WORKERS, f"run-{count}")
            started = time.monotonic()
            peaks.append(peak_mb(begin(command, folder)))
            took_s = time.monotonic() - started
            print(f"{count:>9,} rows: peak {peaks[-1]:.1f} MB, {took_s:.0f} s", flush=True)
        print(
            f"ratio {peaks[1] / peaks[0]:.3f} (at most 1.1), most {max(peaks):.0f} MB (under 150)"
        )

        half = folder / "half"
        command = whole_way(base_url, folder / f"{rows}.parquet", WORKERS, "half")
        since_ns = time.time_ns()
        process = begin(command, folder)
        fresh_s = first_result_s(process, half, since_ns)
        kill_half_way(process, half, rows)
        process.wait()
        since_ns = time.time_ns()
        resume = [*command[:3], "resume", "half", "--quiet"]
        process = begin(resume, folder)
        resumed_s = first_result_s(process, half, since_ns)
        print(
            f"first answer after {fresh_s:.2f} s fresh, {resumed_s:.2f} s with half of the rows "
            f"done: {resumed_s - fresh_s:+.2f} s (at most +2)"
        )
        print(f"the resume: peak {peak_mb(process):.1f} MB")


if __name__ == "__main__":
    main()
