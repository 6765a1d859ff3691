"""Small real runs: a dataset in the test's folder, a stand-in server in the test's own loop."""

from __future__ import annotations

import csv
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from runner import simulator
from runner.begin import begin
from runner.folder import run_folder_of
from runner.job import Job
from runner.seals import Seals
from runner.simulator import Simulator, SimulatorSettings, answer_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from runner.running import Run

KEY = "sk-test-0123456789abcdef"
ROWS = 10


def question(row: int) -> str:
    """What is asked of a row."""
    return f"Say {row}"


def write_csv(path: Path, rows: int = ROWS) -> str:
    """A dataset of two columns; its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([f"{row:03d}", str(row)] for row in range(rows))
    return str(path)


def write_parquet(path: Path, rows: int = ROWS) -> str:
    """The same dataset with its types."""
    pq.write_table(pa.table({"id": list(range(rows)), "text": [str(r) for r in range(rows)]}), path)
    return str(path)


class Provider:
    """A stand-in server, and runs that ask it."""

    def __init__(self, server: Simulator) -> None:
        self._server = server

    def job(self, **settings: Any) -> Job:
        """A job over `text` against this server; limits let it go as fast as it can."""
        usual = {
            "prompt": "Say {{ text }}",
            "model": "qwen-plus",
            "base_url": self._server.base_url,
            "limits": {"concurrency": 4},
        }
        return Job.build({**usual, **settings})

    def begin(self, paths: str | list[str], name: Path | str, **settings: Any) -> Run:
        """A run of such a job."""
        listed = [paths] if isinstance(paths, str) else paths
        return begin(self.job(**settings), listed, str(name))

    @property
    def arrived(self) -> int:
        """How many requests have come in by now."""
        found: int = self._server.stats()["requests"]
        return found

    @property
    def requests(self) -> int:
        """How many it has been sent since the last time this was asked."""
        found = self.arrived
        self._server.reset()
        return found


@asynccontextmanager
async def provider(patch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[Provider]:
    """A stand-in server, with a key for it in the environment."""
    patch.setenv("DASHSCOPE_API_KEY", KEY)
    async with simulator.serve(SimulatorSettings(key=KEY, **settings)) as server:
        yield Provider(server)


def parts(name: Path | str) -> list[dict[str, Any]]:
    """Every row in the run's Parquet parts, in the order in which they lie there."""
    folder, _ = run_folder_of(str(name))
    seals = Seals(folder.parts, folder.seal_records, "parquet")
    rows: list[dict[str, Any]] = []
    for block in seals.blocks():
        with pq.ParquetFile(seals.part(block)) as file:
            rows += file.read(use_threads=False).to_pylist()
    return rows


def assert_complete(name: Path | str, rows: int = ROWS) -> None:
    """One output row for every input row, in order, each with its own answer."""
    found = parts(name)
    assert [row["row"] for row in found] == list(range(rows))
    for row in found:
        expected = answer_to([{"role": "user", "content": question(row["row"])}])
        assert row["completion"] == expected
        assert row["text"] == str(row["row"])
