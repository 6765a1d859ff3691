"""A run's rows in dataset order: inputs and results side by side, put together anew."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

import pyarrow as pa

from runner.dataset import open_dataset
from runner.drift import same_dataset
from runner.errors import DatasetError
from runner.kept import Kept
from runner.output import OUTPUT_FIELDS, assemble, output_schema, result_schema
from runner.records import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.dataset import Batch, Dataset
    from runner.folder import RunFile, RunFolder


class Rows:
    """A run's rows, inputs and results side by side.

    Whole Parquet parts are taken as they are. Everything else is put together from the results and
    the dataset, since other parts do not keep every type and open blocks have no part.
    """

    def __init__(self, folder: RunFolder, run: RunFile, *, with_pending: bool) -> None:
        self._run = run
        self._size = run.block_rows
        self._prefix = run.job.prefix
        self._with_pending = with_pending
        self._kept = Kept(folder, run)
        self._dataset: Dataset | None = None
        ends = [end for end in (run.total_rows, run.job.first) if end is not None]
        self._scope = min(ends, default=sys.maxsize)  # rows behind it are not pending
        self._parts: deque[int] = deque()
        blocks = self._kept.blocks()
        self._spans = self._plan(blocks)
        if self._spans or not blocks:
            self._dataset = _open(run)
            self.schema = output_schema(self._inputs(self._dataset), self._prefix)
        else:
            # The dataset may be gone by now: the parts hold all that is needed.
            found = self._kept.schema(self._parts[0])
            inputs = list(found)[: len(found) - len(OUTPUT_FIELDS)]
            self.schema = pa.schema([*inputs, *result_schema(self._prefix)])
        self._at_hand: tuple[int, dict[int, Result]] = (-1, {})

    @property
    def end(self) -> int | None:
        """One past the last row in scope; None while the dataset's length is unknown."""
        total, first = self._run.total_rows, self._run.job.first
        if total is None and self._dataset is not None:
            total = self._dataset.total_rows
        return total if first is None or total is None else min(total, first)

    def _plan(self, blocks: Sequence[int]) -> list[range]:
        """Note which blocks are taken as parts; the spans of rows to be put together."""
        spans: list[range] = []
        stop = 0
        for block in blocks:
            start = block * self._size
            if self._with_pending:
                spans.append(range(stop, start))
            stop = start + self._size
            if self._is_part(block, start, min(stop, self._scope)):
                self._parts.append(block)
            else:
                spans.append(range(start, stop))
        if self._with_pending:
            spans.append(range(stop, max(stop, self._scope)))
        return [span for span in spans if span]

    def _is_part(self, block: int, start: int, stop: int) -> bool:
        # The record first: what leaves the journal after that is in the part.
        record = self._kept.record(block)
        if record is None or self._run.job.format != "parquet" or self._kept.journalled(block):
            return False
        # Where a part ends before its block does, pending rows follow.
        return not self._with_pending or start + record.rows >= stop

    def _inputs(self, dataset: Dataset) -> pa.Schema:
        names = dataset.schema.names if self._run.job.keep is None else self._run.job.keep
        return pa.schema([dataset.schema.field(name) for name in names])

    def tables(self) -> Iterator[pa.Table]:
        """All rows that have a result, or with the pending ones, in order and bounded pieces."""
        for batch in self._batches():
            while self._parts and self._parts[0] * self._size < batch.start:
                yield from self._part(self._parts.popleft())
            yield self._put_together(batch)
        while self._parts:
            yield from self._part(self._parts.popleft())

    def _batches(self) -> Iterator[Batch]:
        if self._dataset is None:
            return iter(())
        keep = self._inputs(self._dataset).names
        return self._dataset.batches(columns=(), keep=keep, spans=self._spans)

    def _part(self, block: int) -> Iterator[pa.Table]:
        for table in self._kept.tables(block):
            yield table.cast(self.schema)  # Parquet has no seconds

    def _put_together(self, batch: Batch) -> pa.Table:
        rows = range(batch.start, batch.start + len(batch.rows))
        results: dict[int, Result] = {}
        for block in range(rows.start // self._size, (rows.stop - 1) // self._size + 1):
            results |= self._results(block)
        pending = range(self._scope if self._with_pending else 0)
        wanted = [row for row in rows if row in results or row in pending]
        inputs = batch.inputs.take(pa.array([row - rows.start for row in wanted], pa.int64()))
        answers = [results.get(row) or Result(row=row, key="") for row in wanted]
        return assemble([inputs], answers, self.schema, self._prefix)

    def _results(self, block: int) -> dict[int, Result]:
        """A block's results; batches come in order, so the last block read is kept at hand."""
        if self._at_hand[0] != block:
            self._at_hand = block, self._kept.results(block)
        return self._at_hand[1]


def _open(run: RunFile) -> Dataset:
    """The run's dataset. Raises DatasetError when it is gone, or no longer what it was."""
    job = run.job
    try:
        dataset = open_dataset(
            run.paths, csv_delimiter=job.csv_delimiter, csv_encoding=job.csv_encoding
        )
        if same_dataset(run, dataset):
            return dataset
        problem = f"{', '.join(run.paths)} has changed since the run began"
    except DatasetError as error:
        problem = str(error)
    raise DatasetError(
        f"{problem}. The export needs the dataset for its columns: bring it back as it was. The "
        f"answers are safe in completions/ and journal/ of the run's folder"
    )
