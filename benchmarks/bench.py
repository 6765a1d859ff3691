"""A folder, a server and the commands of one benchmark of big runs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from run import whole_way
from watching import Watched

if TYPE_CHECKING:
    from pathlib import Path

WORKERS = 200
QUESTION = "A question of the usual length, asked again and again. " * 11
_BATCH = 20_000


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
            texts = [f"{one}: {'Other. ' if one == edited else ''}{QUESTION}" for one in numbers]
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
