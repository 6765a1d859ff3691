"""`python benchmarks/big.py [PART...] [--rows N]`: does anything grow with the number of rows?

    flat       runs of 10,000, 50,000 and N rows, Parquet to the last part: memory, CPU a row, and
               whether each row came out once and in its place
    resume     one of N rows, killed with half of it done and resumed: how soon does it ask again?
    commands   status, plan, export and the like on N answered rows, and a switch to a new layout
    large      rows of 25 kB to 5 MB, and streamed replies: memory, and whether workers idle

The server is never the bottleneck. All four take about 15 minutes with 1,000,000 rows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import WORKERS, Bench, check_output, write_dataset
from large_rows import large
from run import about, server, whole_way

if TYPE_CHECKING:
    from watching import Sight

SMALL_ROWS = 50_000
FEW_ROWS = 10_000
SEGMENTS = 10


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


PARTS = {"flat": flat, "resume": resume, "commands": commands, "large": large}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"{about()}; {WORKERS} workers")
    with tempfile.TemporaryDirectory() as name:
        notes = Path(name) / "first-requests"
        with server(0.0, notes) as base_url:
            for part in options.parts or PARTS:
                PARTS[part](Bench(Path(name), base_url, notes), options.rows)


if __name__ == "__main__":
    main()
