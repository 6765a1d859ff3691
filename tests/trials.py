"""A small run that something happens to, on real processes, and how it is gone on with."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from processes import PENSTOCK, Ended, Server, environment, penstock

from runner.journal import JournalFile

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 300  # five blocks
WORKERS = 10


@dataclass
class Trial:
    """A run that something happens to, and how it is gone on with."""

    place: Path
    server: Server

    def __post_init__(self) -> None:
        # The folder's name makes the questions this run's own.
        lines = [f'"{self.place.name} {row}: {"so " * 20}?"' for row in range(ROWS)]
        (self.place / "data.csv").write_text("text\n" + "\n".join(lines) + "\n", "utf-8")
        self.forget()

    def forget(self) -> None:
        """What was asked until now is no part of it."""
        self.before = self.server.stats()["requests"]

    @property
    def run(self) -> Path:
        return self.place / "out"

    def generate(self, *more: str) -> list[str]:
        return [
            "generate", "data.csv", "-p", "{{ text }}", "-o", "out", "--base-url",
            self.server.base_url, "--region", "singapore", "--qps", "5000",
            "--concurrency", str(WORKERS), *more,
        ]  # fmt: skip

    def shell(self, limits: str, *args: str) -> Ended:
        """A command under limits that only a shell can set."""
        return ended(["/bin/sh", "-c", f'{limits}; exec "$@"', "sh", *PENSTOCK, *args], self.place)

    def kept(self) -> int:
        """Rows with a result on disk, counted or not, in the journal or in a sealed block."""
        files = (self.run / "journal").glob("*.jsonl")
        rows = {row for file in files for row in JournalFile(file, mend=False).results}
        for path in (self.run / "seals").glob("[0-9]*.json"):
            if not path.name.endswith(".next.json"):
                record = json.loads(path.read_bytes())
                rows.update(range(record["start"], record["start"] + record["rows"]))
        return len(rows)

    def asked(self) -> int:
        requests: int = self.server.stats()["requests"] - self.before
        return requests

    def resumes_cleanly(self, *flags: str, kept: int, asked_again: int = 0) -> Ended:
        """Go on; every row is there, and of what was kept only so many are asked again."""
        before = self.asked()
        done = penstock("resume", "out", "--concurrency", str(WORKERS), *flags, cwd=self.place)
        assert done.status == 0, done.err
        assert self.asked() - before == ROWS - kept + asked_again
        parts = sorted((self.run / "completions").iterdir())
        rows = [row for part in parts for row in pq.read_table(part)["row"].to_pylist()]
        assert rows == list(range(ROWS))
        assert list((self.run / "journal").iterdir()) == []
        return done


def ended(command: list[str], place: Path) -> Ended:
    done = subprocess.run(
        command, cwd=place, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def journals(run: Path) -> list[Path]:
    """The journal files of blocks that have no part yet, the fullest first."""
    files = [
        path
        for path in (run / "journal").glob("*.jsonl")
        if not (run / "seals" / f"{path.stem}.json").exists()
    ]
    return sorted(files, key=lambda path: -path.stat().st_size if path.exists() else 0)


def sizes(paths: list[Path]) -> list[int]:
    """Of the files that are still there."""
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            found.append(path.stat().st_size)
    return found


def until(condition: object) -> None:
    """Look again and again; the test's own timeout is the limit."""
    assert callable(condition)
    while not condition():
        time.sleep(0.005)
