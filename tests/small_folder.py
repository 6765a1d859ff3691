"""A run folder without a provider: a made-up dataset, and a keeping that is fed by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from some_results import some_result

from runner.dataset import Batch
from runner.folder import RunFile, RunFolder
from runner.job import Job
from runner.keeping import Keeping
from runner.part_files import read_columns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from runner.asked_again import Retry
    from runner.records import Result

INPUTS = pa.table({"text": pa.array([], pa.string())}).schema


def batch(rows: range, *, text: Callable[[int], str] = str) -> Batch:
    """Consecutive rows of the made-up dataset."""
    inputs = pa.record_batch([[text(row) for row in rows]], schema=INPUTS)
    return Batch(rows.start, {}, inputs, {})


async def until(condition: Callable[[], bool]) -> None:
    """Let everybody work until something is so; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 - a file that appears is no event of the loop
        await asyncio.sleep(0)


@dataclass
class Small:
    """A run folder whose dataset has `rows` rows, of which a run may be told or not."""

    path: Path
    rows: int
    block_rows: int = 4
    settings: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    pilot: tuple[int, ...] | None = None

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def run_file(self) -> RunFile:
        return RunFile(
            job=Job(**self.settings), paths=("d.csv",), stamp=[], digest=None, total_rows=None,
            block_rows=self.block_rows, rehearsal=False, export=None, created=0.0, version="0",
            pilot=self.pilot,
        )  # fmt: skip

    @asynccontextmanager
    async def kept(self, retry: Retry | None = None) -> AsyncIterator[Keeping]:
        """A keeping that works while the context lasts and is closed at its end.

        `said` is what it says meanwhile. What stops it is raised at the end.
        """
        self.folder.prepare()
        keeping = Keeping(
            self.folder, self.run_file, INPUTS,
            retry=retry, on_count=lambda: None, say=self.said.append,
        )  # fmt: skip
        working = asyncio.create_task(keeping.work())
        try:
            yield keeping
            keeping.close()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            keeping.release()

    def read(self, keeping: Keeping, *, end: int | None, size: int = 3) -> list[int]:
        """Give the keeping all rows that it wants, in batches; those that it wants asked."""
        asked: list[int] = []
        last = 0
        for span in keeping.spans(end):
            stop = min(span.stop, self.rows)
            for start in range(span.start, stop, size):
                rows = range(start, min(start + size, stop))
                asked += [row.index for row in keeping.take(batch(rows), end)]
                last = rows.stop
        keeping.end(last)
        return asked

    async def go(
        self,
        *,
        end: int | None = None,
        answer: Callable[[int], Result | None] = some_result,
        retry: Retry | None = None,
        order: Callable[[list[int]], Iterable[int]] = list,
    ) -> list[int]:
        """One run: read what is wanted and answer it. Rows that get None stay pending."""
        async with self.kept(retry) as keeping:
            asked = self.read(keeping, end=end)
            for row in order(asked):
                result = answer(row)
                if result is not None:
                    await keeping.keep(result)
        return asked

    def parts(self) -> dict[int, list[dict[str, Any]]]:
        """The sealed blocks' rows, input columns and all."""
        seals = self.folder.seals(self.run_file)
        records = seals.records()
        for record in records.values():
            seals.verify(record)
        named = {"row": pa.int64(), "completion": pa.string(), "error_type": pa.string()}
        schema = pa.schema([*INPUTS, *(pa.field(name, kind) for name, kind in named.items())])
        return {
            block: read_columns(seals.part(block), seals.kind, schema).to_pylist()
            for block in sorted(records)
        }

    def completions(self) -> dict[int, str | None]:
        """Of every row in a part, its completion. Fails when a row is in two, or not in order."""
        rows = [row for part in self.parts().values() for row in part]
        numbers = [row["row"] for row in rows]
        assert numbers == sorted(set(numbers))
        assert all(row["text"] == str(row["row"]) for row in rows)
        return {row["row"]: row["completion"] for row in rows}

    def journalled(self) -> list[str]:
        """The names of the journal's files."""
        return sorted(path.name for path in self.folder.journal.iterdir())
