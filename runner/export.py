"""One file of a run's rows, in dataset order, also while the run goes on."""

from __future__ import annotations

import os
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from runner.dataset import open_dataset
from runner.durable import faults, fsync_folder
from runner.errors import JobError
from runner.journal import read_journals
from runner.output import assemble, output_schema, result_schema, results_of
from runner.part_files import TableWriter, iter_tables, read_columns
from runner.records import Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.folder import RunFile, RunFolder
    from runner.job import Format

Only = Literal["all", "succeeded", "failed"]

ENDINGS: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}


def format_of(path: Path) -> Format:
    """The format that a file's name asks for. Raises JobError."""
    kind = ENDINGS.get(path.suffix)
    if kind is None:
        raise JobError(f"{path}: name a file that ends in .parquet, .csv or .jsonl")
    return kind


class Rows:
    """A run's rows with their results, read without disturbing the run."""

    def __init__(self, folder: RunFolder, run: RunFile) -> None:
        self._run = run
        self._prefix = run.job.prefix
        self._journals = {
            file.block: file.results for file in read_journals(folder.journal, mend=False)
        }
        self._seals = folder.seals(run)
        self._sealed = self._seals.records()
        self._dataset = open_dataset(
            run.paths, csv_delimiter=run.job.csv_delimiter, csv_encoding=run.job.csv_encoding
        )
        schema, keep = self._dataset.schema, run.job.keep
        self._keep = list(schema.names) if keep is None else list(keep)
        inputs = pa.schema([schema.field(name) for name in self._keep])
        self.schema = output_schema(inputs, self._prefix)
        self._at_hand: tuple[int, dict[int, Result]] = (-1, {})

    def tables(self, *, with_pending: bool) -> Iterator[pa.Table]:
        """All rows that have a result, or all rows, in dataset order and bounded pieces."""
        end = self._end(with_pending=with_pending)
        blocks = -(-end // self._run.block_rows)
        for is_part, group in groupby(range(blocks), self._is_part):
            found = list(group)
            if is_part:
                for block in found:
                    yield from iter_tables(self._seals.part(block))
            else:
                rows = self._run.block_rows
                span = range(found[0] * rows, min(end, (found[-1] + 1) * rows))
                yield from self._from_inputs(span, with_pending=with_pending)

    def _end(self, *, with_pending: bool) -> int:
        """One past the last row to write."""
        ends = [record.start + record.rows for record in self._sealed.values()]
        ends += [max(results) + 1 for results in self._journals.values() if results]
        end = max(ends, default=0)
        if not with_pending:
            return end
        total, first = self._run.total_rows, self._run.job.first
        if total is None:
            total = sum(1 for _ in self._all_rows())
        return max(end, total if first is None else min(total, first))

    def _all_rows(self) -> Iterator[int]:
        for batch in self._dataset.batches(columns=(), keep=(), spans=[range(sys.maxsize)]):
            yield from range(len(batch.rows))

    def _is_part(self, block: int) -> bool:
        # Only Parquet keeps every type, and a part shorter than its block has rows behind it.
        record = self._sealed.get(block)
        return (
            record is not None
            and block not in self._journals
            and self._seals.kind == "parquet"
            and record.rows == self._run.block_rows
        )

    def _from_inputs(self, span: range, *, with_pending: bool) -> Iterator[pa.Table]:
        for batch in self._dataset.batches(columns=(), keep=self._keep, spans=[span]):
            rows = range(batch.start, batch.start + len(batch.rows))
            results: dict[int, Result] = {}
            size = self._run.block_rows
            for block in range(rows.start // size, (rows.stop - 1) // size + 1):
                results |= self._results(block)
            wanted = [row for row in rows if with_pending or row in results]
            inputs = batch.inputs.take(pa.array([row - rows.start for row in wanted], pa.int64()))
            answers = [results.get(row) or Result(row=row, key="") for row in wanted]
            yield assemble([inputs], answers, self.schema, self._prefix)

    def _results(self, block: int) -> dict[int, Result]:
        """A block's results; batches come in order, so the last block read is kept at hand."""
        if self._at_hand[0] != block:
            found: dict[int, Result] = {}
            if block in self._sealed:
                schema = result_schema(self._prefix)
                table = read_columns(self._seals.part(block), self._seals.kind, schema)
                keys = self._seals.keys(block)
                found = {one.row: one for one in results_of(table, self._prefix, keys)}
            self._at_hand = block, {**found, **self._journals.get(block, {})}
        return self._at_hand[1]


def _filtered(table: pa.Table, only: Only, prefix: str) -> pa.Table:
    if only == "all":
        return table
    succeeded = pc.is_null(table[f"{prefix}error_type"])
    return table.filter(succeeded if only == "succeeded" else pc.invert(succeeded))


def export(
    folder: RunFolder, run: RunFile, file: Path, *, only: Only = "all", with_pending: bool = False
) -> int:
    """Write a run's rows into one file, in one step; the number of rows written.

    The format follows the file's name. Raises JobError for another ending or a dataset's own file,
    MachineFault where it cannot be written.
    """
    kind = format_of(file)
    if str(file.resolve()) in {str(one["path"]) for one in run.stamp}:
        raise JobError(f"{file} is a file of the dataset itself; name another one")
    rows = Rows(folder, run)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    written = 0
    with faults("write", file):
        try:
            with temporary.open("wb") as out:
                writer = TableWriter(out, rows.schema, kind)
                for table in rows.tables(with_pending=with_pending):
                    part = _filtered(table, only, run.job.prefix)
                    writer.write(part)
                    written += len(part)
                writer.close()
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(file)
            fsync_folder(file.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return written
