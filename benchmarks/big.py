"""`python benchmarks/big.py [PART...] [--rows N]`: does anything grow with the number of rows?

    flat       runs of 10,000, 50,000 and N rows, Parquet to the last part: memory, CPU a row, and
               whether each row came out once and in its place
    resume     one of N rows, killed with half of it done and resumed: how soon does it ask again?
    commands   status, plan, export and the like on N answered rows, and a switch to a new layout
    large      rows of 25 kB to 5 MB, and streamed replies: memory

The server is never the bottleneck. All four take about 15 minutes with 1,000,000 rows.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from run import server, whole_way
from watching import Sight, Watched

SMALL_ROWS = 50_000
FEW_ROWS = 10_000
WORKERS = 200
SEGMENTS = 10
_BATCH = 20_000
_QUESTION = "A question of the usual length, asked again and again. " * 11


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything lies."""

    folder: Path
    base_url: str
    notes: Path  # when the server was first asked, by each client

    def dataset(self, rows: int) -> Path:
        """A file of so many rows, each with its number; made when first asked for."""
        path = self.folder / f"{rows}.parquet"
        if not path.exists():
            write_dataset(path, rows)
        return path

    def generate(self, rows: int, run: str) -> Watched:
        """A run over such a file, from its beginning."""
        command = whole_way(self.base_url, self.dataset(rows), WORKERS, run)
        return Watched(command, self.folder)

    def penstock(self, *words: str) -> Watched:
        """Another command."""
        program = [sys.executable, "-c", "from jobs.cli import main; main()"]
        return Watched([*program, *words], self.folder)

    def first_request_s(self, process: Watched) -> float:
        """Seconds from the command to its first request, as the server saw it."""
        while process.look() is not None:
            noted = self.notes.read_text().split() if self.notes.exists() else []
            if noted and float(noted[-1]) > process.began:
                return float(noted[-1]) - process.began
            process.sleep()
        sys.exit("a run ended before its first request")

    def sealed_rows(self, run: str) -> int:
        """How many rows are in finished parts, the last block's counted as full."""
        folder = self.folder / run
        if not (folder / "run.json").exists():
            return 0
        block_rows: int = json.loads((folder / "run.json").read_bytes())["block_rows"]
        return len(list((folder / "seals").glob("[0-9]*[0-9].keys"))) * block_rows


def write_dataset(path: Path, rows: int, *, edited: int | None = None) -> None:
    """Numbered rows; with `edited` the first row is missing and that one has another text."""
    schema = pa.table({"row_number": [0], "text": [""]}).schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0 if edited is None else 1, rows, _BATCH):
            numbers = list(range(start, min(start + _BATCH, rows)))
            texts = [f"{one}: {'Other. ' if one == edited else ''}{_QUESTION}" for one in numbers]
            writer.write_table(pa.table({"row_number": numbers, "text": texts}, schema))


def check_output(run: Path, rows: int) -> None:
    """Every row once, in its place, answered, beside its own input. Ends everything otherwise."""
    at = 0
    for part in sorted((run / "completions").iterdir()):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=["row", "row_number", "completion"]):
                places = list(range(at, at + batch.num_rows))
                for name in ("row", "row_number"):
                    if batch.column(name).to_pylist() != places:
                        sys.exit(f"{part}: {name} is not {places[0]}, {places[0] + 1}, ...")
                if batch.column("completion").null_count:
                    sys.exit(f"{part}: rows without an answer")
                at += batch.num_rows
    if at != rows:
        sys.exit(f"{run}: {at:,} rows came out of {rows:,}")


def flat(bench: Bench, rows: int) -> None:
    """Memory and CPU a row, by the number of rows and in the course of the longest run."""
    start_cpu_s = statistics.median(
        bench.generate(WORKERS, f"start-{turn}").to_end().cpu_s for turn in range(3)
    )
    print("\n| rows | seconds | peak MB | CPU us a row, that of a run of 200 taken off |")
    print("|---|---|---|---|", flush=True)
    course: list[tuple[int, Sight]] = []
    for count in (FEW_ROWS, FEW_ROWS, FEW_ROWS, SMALL_ROWS, rows):
        run = f"run-{count}-{time.monotonic_ns()}" if count == FEW_ROWS else f"run-{count}"
        process = bench.generate(count, run)
        while (sight := process.look()) is not None:
            done = bench.sealed_rows(run) if count == rows else 0
            if done > (course[-1][0] if course else 0):
                course.append((done, sight))
            process.sleep()
        end = process.to_end()
        check_output(bench.folder / run, count)
        cpu_us = (end.cpu_s - start_cpu_s) / (count - WORKERS) * 1e6
        print(f"| {count:,} | {end.wall_s:.0f} | {end.peak_mb:.1f} | {cpu_us:.1f} |", flush=True)
    print(f"\nEach of the {rows:,} rows came out once, in its place. In the course of that run:\n")
    print_course(course, rows)


def print_course(course: list[tuple[int, Sight]], rows: int) -> None:
    """A line for each tenth of a run."""
    print("| rows done | CPU us a row since the line above | peak MB so far |\n|---|---|---|")
    before = course[0]
    for tenth in range(1, SEGMENTS + 1):
        upto = [one for one in course if one[0] <= tenth * rows / SEGMENTS]
        if upto and upto[-1][0] > before[0]:
            now = upto[-1]
            cpu_us = (now[1].cpu_s - before[1].cpu_s) / (now[0] - before[0]) * 1e6
            print(f"| {now[0]:,} | {cpu_us:.1f} | {now[1].peak_mb:.1f} |")
            before = now
    sys.stdout.flush()


def resume(bench: Bench, rows: int) -> None:
    """From the command to its first request: at the beginning, and with half of the rows done."""
    fresh, again = [], []
    for turn in range(3):
        process = bench.generate(rows, f"fresh-{turn}")
        fresh.append(bench.first_request_s(process))
        process.kill()
    process = bench.generate(rows, "half")
    while bench.sealed_rows("half") < rows / 2 and process.look() is not None:
        process.sleep()
    process.kill()
    for _ in range(3):
        process = bench.penstock("resume", "half", "--quiet")
        again.append(bench.first_request_s(process))
        process.kill()
    end = bench.penstock("resume", "half", "--quiet").to_end()
    check_output(bench.folder / "half", rows)
    more_s = statistics.median(again) - statistics.median(fresh)
    print(
        f"\nTo the first request, at the server, three of each: {_listed(fresh)} s fresh, "
        f"{_listed(again)} s with half of {rows:,} rows done after a kill: {more_s:+.2f} s "
        f"(at most +2). The resume to its end: peak {end.peak_mb:.1f} MB, {end.wall_s:.0f} s; "
        f"each row came out once.",
        flush=True,
    )


def _listed(seconds: list[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in seconds)


def commands(bench: Bench, rows: int) -> None:
    """What each command takes on a finished run, and on one whose process has died."""
    run = f"run-{rows}"
    if not (bench.folder / run).exists():
        bench.generate(rows, run).to_end()
    edited = bench.folder / "edited.parquet"
    write_dataset(edited, rows, edited=rows // 2)
    print("\n| command | seconds | CPU seconds | peak MB |\n|---|---|---|---|", flush=True)

    def timed(name: str, *words: str) -> None:
        end = bench.penstock(*words).to_end()
        print(f"| {name} | {end.wall_s:.2f} | {end.cpu_s:.2f} | {end.peak_mb:.0f} |", flush=True)

    timed("status", "status", run)
    (bench.folder / run / "summary.json").unlink()
    timed("status, its process gone without a word", "status", run)
    timed("show --row", "show", run, "--row", str(rows // 2))
    timed("show --failed", "show", run, "--failed")
    timed("plan, nothing changed", "plan", run)
    timed("plan --verify", "plan", run, "--verify")
    timed(
        "generate again: finished",
        *whole_way(bench.base_url, bench.dataset(rows), WORKERS, run)[3:],
    )
    for kind in ("parquet", "csv"):
        timed(f"export, {kind}", "export", run, f"out.{kind}")
    timed("plan, a row gone and one edited", "plan", run, str(edited))
    timed(
        "resume --accept-changes: a switch, and one row asked",
        "resume", run, str(edited), "--accept-changes", "--quiet",
    )  # fmt: skip


def large(bench: Bench, rows: int) -> None:
    """The peak with rows that are large, and with replies that are streamed."""
    del rows
    print(
        "\n| rows | of | workers | replies | seconds | peak MB |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for count, size, workers, stream in (
        (50_000, 600, 200, True),
        (20_000, 25_000, 200, False),
        (20_000, 25_000, 1000, False),
        (6_000, 100_000, 200, False),
        (6_000, 100_000, 1000, False),
        (100, 5_000_000, 200, False),
    ):
        path = bench.folder / f"{count}-{size}.parquet"
        if not path.exists():
            write_large(path, count, size)
        run = f"large-{size}-{workers}-{stream}"
        command = whole_way(bench.base_url, path, workers, run, stream=stream)
        end = Watched(command, bench.folder).to_end()
        print(
            f"| {count:,} | {size:,} bytes | {workers:,} | {'streamed' if stream else 'plain'} | "
            f"{end.wall_s:.1f} | {end.peak_mb:.0f} |",
            flush=True,
        )


def write_large(path: Path, rows: int, size: int) -> None:
    """Rows of so many bytes, in row groups of about 64 MB."""
    step = max(1, (64 << 20) // size)
    schema = pa.table({"row_number": [0], "text": [""]}).schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, step):
            numbers = list(range(start, min(start + step, rows)))
            texts = [f"{one}: {_QUESTION * (size // len(_QUESTION) + 1)}"[:size] for one in numbers]
            writer.write_table(pa.table({"row_number": numbers, "text": texts}, schema))


PARTS = {"flat": flat, "resume": resume, "commands": commands, "large": large}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, pyarrow "
        f"{version('pyarrow')}, {platform.machine()}; {WORKERS} workers"
    )
    with tempfile.TemporaryDirectory() as name:
        notes = Path(name) / "first-requests"
        with server(0.0, notes) as base_url:
            for part in options.parts or PARTS:
                PARTS[part](Bench(Path(name), base_url, notes), options.rows)


if __name__ == "__main__":
    main()
