"""How long until something happens: --help, --version, and the first request for a large file?

The first request's time is taken where it arrives. `--megabytes` is the dataset's size; the file
is mostly the same text, since reading stops long before its end.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from run import about

_COMMAND = [sys.executable, "-c", "from jobs.cli import main; main()"]
_TEXT_BYTES = 1000


def seconds(command: list[str]) -> float:
    started_s = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started_s


def until_first_request(dataset: Path, run: Path) -> float:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        command = [
            *_COMMAND, "generate", str(dataset), "-p", "{{ text }}", "--base-url", url,
            "--concurrency", "1", "--quiet", "--yes", "-o", str(run),
        ]  # fmt: skip
        started_s = time.monotonic()
        environment = {**os.environ, "DASHSCOPE_API_KEY": "sk-benchmark"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            connection, _ = listening.accept()
            connection.recv(1)
            taken_s = time.monotonic() - started_s
            process.kill()
        connection.close()
    return taken_s


_ROW = pa.table({"id": [0], "text": [""]}).schema


def write_parquet(path: Path, rows: int) -> None:
    with pq.ParquetWriter(path, _ROW) as writer:
        for start in range(0, rows, 50_000):
            ids = list(range(start, min(start + 50_000, rows)))
            # Random, so that it is as large on disk as in memory.
            texts = [os.urandom(_TEXT_BYTES // 2).hex() for _ in ids]
            writer.write_table(pa.table({"id": ids, "text": texts}))


def write_csv(path: Path, rows: int) -> None:
    text = "x" * _TEXT_BYTES
    with path.open("w") as file:
        file.write("id,text\n")
        for row in range(rows):
            file.write(f"{row},{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = options.megabytes * 1_000_000 // _TEXT_BYTES
    print(f"{about()}; {options.repeats} times each\n")
    print("| | seconds, median | least |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_parquet(folder / "large.parquet", rows)
        write_csv(folder / "large.csv", rows)
        taken: dict[str, list[float]] = {}
        for repeat in range(options.repeats):
            taken.setdefault("python -c pass", []).append(seconds([sys.executable, "-c", "pass"]))
            for flag in ("--help", "--version"):
                taken.setdefault(f"penstock {flag}", []).append(seconds([*_COMMAND, flag]))
            for dataset in sorted(folder.glob("large.*")):
                size = dataset.stat().st_size // 1_000_000
                label = f"generate {dataset.suffix} of {size:,} MB, to its first request"
                first_s = until_first_request(dataset, folder / f"{repeat}{dataset.suffix}.run")
                taken.setdefault(label, []).append(first_s)
    for label, times in taken.items():
        print(f"| {label} | {statistics.median(times):.3f} | {min(times):.3f} |")


if __name__ == "__main__":
    main()
