"""Is anything lost where a switch of layout is killed? A real one, killed at each of its steps.

`python tests/soak_switch.py` kills `resume --accept-changes` before, amid and after every chosen
step, lets the next resume finish, and compares; `make test` does a few through `test_killed_runs`.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from dying import Fault
from processes import Server, environment, penstock, simulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROWS = 150  # three blocks
FIRST = 100  # rows that have an answer before the switch
EDITED = 7
MOMENTS = ("before", "amid", "after")
_ENDED_S = 60.0

# Step, path and occurrence, by the name under which it is told; in the order of `runner.switch`.
POINTS: dict[str, tuple[str, str, int]] = {
    "answers copied": ("append", "journal/*.jsonl", 1),
    "copied part written": ("force", "completions/.part-*", 1),
    "copied part renamed": ("rename", "completions/part-*", 1),
    "copied journal removed": ("remove", "journal/*.jsonl", 1),
    "copied journal forced": ("force", "journal/*.jsonl", 1),
    "old run.json kept": ("append", "next/run.json", 1),
    "next/ complete": ("fsync_folder", "*/next", 1),
    "run.json replaced": ("rename", "out/run.json", 1),
    "old journal moved": ("rename", "0001/journal", 1),
    "new journal moved": ("rename", "out/journal", 1),
    "old completions moved": ("rename", "0001/completions", 1),
    "new completions moved": ("rename", "out/completions", 1),
    "old seals moved": ("rename", "0001/seals", 1),
    "new seals moved": ("rename", "out/seals", 1),
    "next/run.json moved": ("rename", "0001/run.json", 1),
    "mark taken away": ("rename", "out/run.json", 2),
}


@dataclass(frozen=True, slots=True)
class Switched:
    """What became of a run whose switch was killed."""

    point: str
    moment: str
    status: int  # of the process that was to die
    lost: int  # rows that are not there in the end
    doubled: int  # rows that are there more than once
    wrong: int  # rows with another input, or out of order
    asked: int  # rows that were asked after the kill
    paid_rows: int  # answers that are superseded
    said: str  # what the last process said, where it did not end well

    @property
    def is_flawless(self) -> bool:
        """Whether it died as chosen, and only what had no answer was asked."""
        return (
            self.status == -9
            and not (self.lost or self.doubled or self.wrong or self.said)
            and self.asked == ROWS - FIRST + 1
            and self.paid_rows == 1
        )


def write_rows(path: Path, *, switched: bool) -> list[str]:
    """The dataset; switched it is in reverse, with one row edited."""
    texts = [f"why {row}?" for row in range(ROWS)]
    if switched:
        texts[EDITED] = "why not?"
        texts.reverse()
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return texts


def killed_switches(place: Path, faults: Iterable[tuple[str, str]]) -> Iterator[Switched]:
    """The same run, switched anew for each point and moment, killed there and resumed."""
    with simulator("--seed", "5", cwd=place) as server:
        begun = place / "begun"
        begun.mkdir()
        write_rows(begun / "data.csv", switched=False)
        done = penstock(
            "generate", "data.csv", "-p", "{{ text }}", "-o", "out", "--base-url", server.base_url,
            "--region", "singapore", "--qps", "5000", "--first", str(FIRST), "--quiet", cwd=begun,
        )  # fmt: skip
        assert done.status == 0, done.err
        for number, (point, moment) in enumerate(faults):
            yield _switched(shutil.copytree(begun, place / str(number)), server, point, moment)


def _switched(place: Path, server: Server, point: str, moment: str) -> Switched:
    texts = write_rows(place / "data.csv", switched=True)
    step, path, nth = POINTS[point]
    fault = Fault(step, path, nth, moment)  # type: ignore[arg-type]  # of the three moments
    # The run is a copy: its dataset lies elsewhere than run.json says.
    command = ["resume", "out", "data.csv", "--accept-changes", "--first", str(ROWS), "--quiet"]
    before = server.stats()["requests"]
    died = subprocess.run(
        [*fault.arguments(), *command], cwd=place, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, timeout=_ENDED_S, check=False,
    )  # fmt: skip
    ended = penstock(*command, "--json", cwd=place)
    parts = sorted((place / "out" / "completions").iterdir())
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    found = [(row["row"], row["text"]) for row in rows if row["completion"]]
    superseded = (ended.json() if ended.status == 0 else {}).get("superseded") or {}
    return Switched(
        point=point,
        moment=moment,
        status=died.returncode,
        lost=ROWS - len(set(found)),
        doubled=len(found) - len(set(found)),
        wrong=sum(one != two for one, two in zip(found, enumerate(texts), strict=False)),
        asked=server.stats()["requests"] - before,
        paid_rows=superseded.get("rows", 0),
        said="" if ended.status == 0 else f"exit {ended.status}: {ended.err}",
    )


def main() -> None:
    """Kill, resume, compare; print what came of it."""
    faults = [(point, moment) for point in POINTS for moment in MOMENTS]
    with tempfile.TemporaryDirectory() as place:
        found = list(killed_switches(Path(place), faults))
    flawed = [one for one in found if not one.is_flawless]
    lines = [
        *map(str, flawed),
        f"switches killed      {sum(one.status == -9 for one in found)} of {len(found)}",
        f"rows lost            {sum(one.lost for one in found)}",
        f"rows doubled         {sum(one.doubled for one in found)}",
        f"rows wrong           {sum(one.wrong for one in found)}",
        f"answers asked again  {max(one.asked for one in found) - (ROWS - FIRST + 1)} at most",
    ]
    print("\n".join(lines))  # noqa: T201 - what it is for
    if flawed:
        sys.exit("the promise is broken")


if __name__ == "__main__":
    main()
