"""Is a row ever lost, doubled or paid for twice? Real runs, killed with SIGKILL and resumed.

`python tests/soak_crashes.py [KILLS [SEED]]` kills 200 times, or so often, and shows what came of
it; `make test` does twenty through `test_killed_runs`. Each run is killed several times, at random
moments and at chosen steps to the disk, and is compared at its end with one that nobody disturbed.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.parquet as pq
from dying import Fault
from processes import Server, environment, penstock, simulator, started

from runner.journal import JournalFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 420  # seven blocks
WORKERS = 20
LATENCY = "0.01:0.06"
ERRORS = "429=0.004,500=0.003,503=0.003"  # one row in a hundred waits for a second or two
FORMATS = ("parquet", "csv", "jsonl")
_MOST_KILLS = 8  # of one run, so that many runs are killed early and many late
_ENDED_S = 60.0
_KEY_BYTES = 16
_ANSWERED, _GONE = 200, 499
_LARGE = 1 << 24  # the longest cell

# Step, path and the latest occurrence of it that is chosen, by the name under which it is told.
POINTS: dict[str, tuple[str, str, int]] = {
    "run.json": ("rename", "*/run.json", 1),
    "journal line": ("append", "journal/*.jsonl", 120),
    "journal fsync": ("force", "journal/*.jsonl", 6),
    "journal folder": ("fsync_folder", "*/journal", 3),
    "part written": ("force", "completions/.part-*", 2),
    "keys written": ("append", "seals/*.next.keys", 2),
    "record written": ("append", "seals/*.next.json", 2),
    "part renamed": ("rename", "completions/part-*", 2),
    "parts' folder": ("fsync_folder", "*/completions", 2),
    "keys renamed": ("rename", "seals/*[0-9].keys", 2),
    "record renamed": ("rename", "seals/*[0-9].json", 2),
    "journal file removed": ("remove", "journal/*.jsonl", 2),
    "summary": ("rename", "*/summary.json", 2),
    "export": ("rename", "*/answers.*", 1),
}
RANDOM = "random moment"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one run that was killed again and again."""

    number: int
    kills: Counter[str]  # by the point at which it died
    again: list[int]  # for each kill, the rows whose answer was on its way
    lost: int  # rows of the undisturbed run that are not there
    doubled: int  # rows that are there more than once
    wrong: int  # rows with another input or completion, or out of order
    untold: int  # of `again`, more than the run's own count of what kills cut off
    kept_again: int  # rows whose result was on disk and that were asked again all the same
    said: str  # what the last process said, where it did not end well

    @property
    def is_flawless(self) -> bool:
        """Whether every promise held."""
        flaws = self.lost + self.doubled + self.wrong + self.untold + self.kept_again
        return not flaws and not self.said and max(self.again, default=0) <= WORKERS


@dataclass(slots=True)
class Story:
    """One dataset and its run, in a folder of their own."""

    place: Path
    server: Server
    calm: Server  # without latency or errors, for the run that nobody disturbs
    number: int  # part of every question, so that no other run asks the same
    seed: int
    kind: Literal["parquet", "csv", "jsonl"]
    to_file: bool  # -o FILE instead of -o FOLDER
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed} {self.number}")
        self.place.mkdir()
        with (self.place / "data.csv").open("w", encoding="utf-8", newline="") as file:
            write = csv.writer(file).writerow
            write(["text"])
            for row in range(ROWS):
                write([f'{self.number}: why "{row}",\n{"so " * self.dice.randrange(20)}?'])

    @property
    def name(self) -> str:
        return f"answers.{self.kind}" if self.to_file else "out"

    @property
    def run(self) -> Path:
        return self.place / (f"{self.name}.run" if self.to_file else self.name)

    def command(self, name: str, server: Server) -> list[str]:
        return [
            "generate", "data.csv", "-p", "Answer: {{ text }}", "-o", name, "--format", self.kind,
            "--base-url", server.base_url, "--region", "singapore", "--qps", "5000",
            "--concurrency", str(WORKERS), "--quiet",
        ]  # fmt: skip

    def tell(self, most_kills: int) -> Told:
        """Kill the run so often, or until it has ended all the same, and compare."""
        undisturbed = penstock(*self.command("calm", self.calm), cwd=self.place)
        assert undisturbed.status == 0, undisturbed.err
        expected = list(rows_of(self.place / "calm" / "completions", self.kind))
        assert [row for row, *_ in expected] == list(range(ROWS))
        kills: Counter[str] = Counter()
        again: list[int] = []
        kept_again = 0
        command = self.command(self.name, self.server)
        for _ in range(most_kills):
            kept, log_start = self.kept(), len(self.server.log())
            point = self._one_process(command)
            asked = self._asked_since(log_start)
            kept_again += len(asked.keys() & kept)
            if point is None:
                break
            kills[point] += 1
            answered = {body for body, statuses in asked.items() if statuses & {_ANSWERED, _GONE}}
            again.append(len(answered - self.kept()))
            if (self.run / "run.json").exists():
                command = ["resume", self.name, "--quiet"]
        kept, log_start = self.kept(), len(self.server.log())
        ended = penstock(*command, cwd=self.place)
        kept_again += len(self._asked_since(log_start).keys() & kept)
        told = penstock("status", self.name, "--json", cwd=self.place).json()
        found = list(rows_of(self._output(), self.kind))
        numbers = Counter(row for row, *_ in found)
        return Told(
            number=self.number,
            kills=kills,
            again=again,
            lost=ROWS - len(numbers),
            doubled=sum(count - 1 for count in numbers.values()),
            wrong=sum(one != other for one, other in zip(found, expected, strict=False)),
            untold=max(0, sum(again) - told.get("killed_attempts", 0)),
            kept_again=kept_again,
            said="" if ended.status == 0 else f"exit {ended.status}: {ended.err}",
        )

    def _output(self) -> Path:
        return self.place / self.name if self.to_file else self.run / "completions"

    def _one_process(self, command: list[str]) -> str | None:
        """Let a process die; at which point, or None where it came to its end before."""
        if self.dice.random() < 0.3:
            return self._killed_at_random(command)
        names = [name for name in POINTS if self.to_file or name != "export"]
        name = self.dice.choice(names)
        step, path, latest = POINTS[name]
        moment = self.dice.choice(("before", "amid", "after"))
        nth = self.dice.randint(1, latest)
        fault = Fault(step, path, nth, moment)  # type: ignore[arg-type]  # of the three moments
        done = subprocess.run(
            [*fault.arguments(), *command], cwd=self.place, env=environment(),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_ENDED_S, check=False,
        )  # fmt: skip
        return name if self._is_killed(done.returncode) else None

    def _killed_at_random(self, command: list[str]) -> str | None:
        wanted = self.server.stats()["requests"] + self.dice.randrange(1, 150)
        with started(*command, cwd=self.place) as process:
            while process.poll() is None and self.server.stats()["requests"] < wanted:
                time.sleep(0.002)
            process.kill()
            process.wait()
        return RANDOM if self._is_killed(process.returncode) else None

    @staticmethod
    def _is_killed(status: int) -> bool:
        if status not in {-9, 0}:
            raise AssertionError(f"a process ended with exit status {status} before it was killed")
        return status == -9

    def kept(self) -> set[str]:
        """The keys of all results on disk; a key is the server's own digest of what was asked."""
        keys = {
            result.key
            for path in (self.run / "journal").glob("*.jsonl")
            for result in JournalFile(path, mend=False).results.values()
        }
        for path in (self.run / "seals").glob("*.keys"):
            packed = path.read_bytes()
            whole = range(0, len(packed) - _KEY_BYTES + 1, _KEY_BYTES)
            keys |= {packed[at : at + _KEY_BYTES].hex() for at in whole}
        return keys

    def _asked_since(self, log_start: int) -> dict[str, set[int]]:
        """What was asked since then, and the statuses that it brought, once all have ended."""
        while self.server.stats()["in_flight"]:
            time.sleep(0.005)  # an answer whose client is gone is made, and billed, all the same
        asked: dict[str, set[int]] = {}
        for entry in self.server.log()[log_start:]:
            asked.setdefault(entry["body"], set()).add(entry["status"])
        return asked


def rows_of(path: Path, kind: str) -> Iterator[tuple[int, str, str | None, str | None]]:
    """Row, input, completion and error of each row in a file, or in a folder's files in order."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        for row in _records(file, kind):
            yield int(row["row"]), row["text"], row["completion"] or None, row["error_type"] or None


def _records(file: Path, kind: str) -> list[dict[str, Any]]:
    if kind == "parquet":
        found: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        return found
    with file.open(encoding="utf-8", newline="") as text:
        if kind == "csv":
            csv.field_size_limit(_LARGE)
            return list(csv.DictReader(text))
        return [json.loads(line) for line in text]


def killed_runs(place: Path, *, kills: int, seed: int, errors: str = ERRORS) -> Iterator[Told]:
    """Runs, one after the other, until so many processes have been killed."""
    trouble = ["--errors", errors] if errors else []
    with (
        simulator("--latency", LATENCY, "--seed", str(seed), *trouble, cwd=place) as server,
        simulator("--seed", str(seed), cwd=place) as calm,
    ):
        done = number = 0
        while done < kills:
            kind = FORMATS[number % len(FORMATS)]
            to_file = number % 2 == 1
            folder = place / str(number)
            story = Story(folder, server, calm, number, seed, kind, to_file)  # type: ignore[arg-type]
            told = story.tell(min(kills - done, _MOST_KILLS))
            done += sum(told.kills.values())
            number += 1
            yield told


def main() -> None:
    """Kill, resume, compare; print what came of it."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    points: Counter[str] = Counter()
    found: list[Told] = []
    with tempfile.TemporaryDirectory() as place:
        for told in killed_runs(Path(place), kills=kills, seed=seed):
            found.append(told)
            points += told.kills
            if not told.is_flawless:
                print(f"run {told.number}: {told}", flush=True)  # noqa: T201 - what it is for
    again = [rows for told in found for rows in told.again]
    lines = [
        f"kills tried          {points.total()} in {len(found)} runs, seed {seed}",
        f"rows lost            {sum(told.lost for told in found)}",
        f"rows doubled         {sum(told.doubled for told in found)}",
        f"rows wrong           {sum(told.wrong for told in found)}",
        f"kept but asked again {sum(told.kept_again for told in found)}",
        f"cut off and not told {sum(told.untold for told in found)}",
        f"asked again per kill {max(again, default=0)} at most, of {WORKERS} at a time",
        *(f"  {count:4} at {name}" for name, count in points.most_common()),
    ]
    print("\n".join(lines))  # noqa: T201 - what it is for
    if not all(told.is_flawless for told in found):
        sys.exit("the promise is broken")


if __name__ == "__main__":
    main()
