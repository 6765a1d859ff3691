"""Run folders for tests, laid out file by file: no server, no process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from some_results import some_failure, some_result

from runner.dataset import open_dataset
from runner.errors import FailsRow
from runner.folder import RunFile, RunFolder
from runner.job import Job
from runner.journal import encode_line
from runner.output import output_schema
from runner.preflight import prepare
from runner.row_ids import row_id
from runner.sealing import seal_block
from runner.summary import Summary
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.records import Result, Row, Unfinished
    from runner.template import Template

BLOCK_ROWS = 4


def questions(rows: int) -> pa.Table:
    """A dataset of questions, each with an id and an empty note."""
    return pa.table(
        {
            "id": [f"id-{row}" for row in range(rows)],
            "text": [f"question {row}" for row in range(rows)],
            "note": pa.array([None if row % 2 else "" for row in range(rows)], pa.string()),
        }
    )


def _key(template: Template, row: Row) -> str:
    try:
        return template.fill(row).key
    except FailsRow:
        return ""


class SomeRun:
    """A run in `place`/run over a Parquet dataset in `place`/data.parquet."""

    def __init__(self, place: Path, table: pa.Table, *, known_end: bool = True, **job: Any) -> None:
        self.data = place / "data.parquet"
        pq.write_table(table, self.data)
        settings = {"prompt": "{{ text }}", "id_column": "id", **job}
        self.dataset = open_dataset([str(self.data)])
        self.folder = RunFolder(place / "run")
        self.folder.prepare()
        self.run = RunFile(
            job=Job.build(settings),
            paths=(str(self.data),),
            stamp=self.dataset.stamp(),
            digest=self.dataset.digest(),
            total_rows=len(table) if known_end else None,
            block_rows=BLOCK_ROWS,
            rehearsal=False,
            export=None,
            created=time.time(),
            version="0",
        )
        self.folder.write_run(self.run)
        self._rows = len(table)
        flight = prepare(self.run.job, self.run.paths)
        self.inputs = flight.inputs
        named = flight.job.id_column
        columns = flight.template.columns | ({named} if named is not None else frozenset())
        batches = flight.dataset.batches(columns=columns, keep=(), spans=[range(len(table))])
        rows = [row for one in batches for row in one.rows]
        self._keys = [_key(flight.template, row) for row in rows]
        self._ids = [row_id(row, named).hex() if named is not None else "" for row in rows]

    @property
    def name(self) -> str:
        """What to call it on the command line."""
        return str(self.folder.path)

    def answer(self, row: int, **changes: Any) -> Result:
        """A success of this row's own request."""
        return some_result(row, **{"key": self._keys[row], "row_id": self._ids[row], **changes})

    def failure(self, row: int, **changes: Any) -> Result:
        """A failure of this row's own request."""
        return some_failure(row, **{"key": self._keys[row], "row_id": self._ids[row], **changes})

    def seal(self, block: int, results: Iterable[Result] | None = None) -> list[Result]:
        """Make a block's part and record; of answers, where no results are given."""
        start = block * BLOCK_ROWS
        rows = range(start, min(start + BLOCK_ROWS, self._rows))
        found = [self.answer(row) for row in rows] if results is None else list(results)
        spans = [range(start, start + len(found))]
        batches = self.dataset.batches(columns=(), keep=self.inputs.names, spans=spans)
        prefix = self.run.job.prefix
        schema = output_schema(self.inputs, prefix)
        inputs = [batch.inputs for batch in batches]
        seal_block(self.folder.seals(self.run), block, inputs, list(found), schema, prefix)
        return found

    def journal(self, *entries: Result | Unfinished) -> None:
        """Append to the journals of the entries' blocks."""
        for entry in entries:
            path = self.folder.journal / f"{entry.row // BLOCK_ROWS:05d}.jsonl"
            with path.open("ab") as file:
                file.write(encode_line(entry))

    def tell(self, **changes: Any) -> None:
        """Write a summary as a process of this run would."""
        settings: dict[str, Any] = {
            "run": "run", "state": "running", "rows": self._rows, "tally": Tally(),
            "elapsed_s": 3.0, **changes,
        }  # fmt: skip
        Summary(**settings).write(self.folder.summary)
