"""What has a run kept so far? Its results as they lie on disk, read without disturbing the run.

The run may be going on meanwhile. So a block's journal is read before its part, since results are
in the part before the journal goes; and what is sealed anew while it is read is read again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from runner.errors import MachineFault
from runner.hashed_file import sha256_of
from runner.journal import brought_up_to_date, entries_of, look_into, paths_in
from runner.output import result_schema, results_of
from runner.part_files import iter_tables, read_columns
from runner.seals import key_at
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from runner.folder import RunFile, RunFolder
    from runner.records import Result, Unfinished
    from runner.seal_record import SealRecord

    # Which of a part's rows are wanted: of its record and table, the positions in the table.
    Choice = Callable[[SealRecord, pa.Table], Sequence[int]]


_T = TypeVar("_T")


class Outline(NamedTuple):
    """A result without its answer. Made by `Kept`, consumed by `plan`."""

    key: bytes  # of its request; b"" where none could be made
    row_id: bytes  # b"" without an id column
    failed: bool
    model: str | None


class Kept:
    """A run's results, block by block. Raises MachineFault where a part is gone or damaged."""

    def __init__(self, folder: RunFolder, run: RunFile) -> None:
        self._journal = folder.place("journal", run)
        self._seals = folder.seals(run)
        self._prefix = run.job.prefix
        self._block_rows = run.block_rows

    def blocks(self) -> list[int]:
        """The blocks that hold a result, in order."""
        unsealed = {int(path.stem) for path in paths_in(self._journal)}
        return sorted(unsealed.union(self._seals.blocks(), self._seals.parts_there()))

    def journalled(self, block: int) -> dict[int, Result]:
        """A block's results, by row, that may not be in its part yet."""
        return look_into(self._journal, block, self._block_rows)

    def bills(self, block: int) -> dict[int, Unfinished]:
        """What rows have cost so far that have no result since, by row."""
        return entries_of(self._journal, block, self._block_rows)[1]

    def record(self, block: int) -> SealRecord | None:
        """The record of a sealed block; None for one that is not."""
        return self._steadily(block, self._recorded)

    def _recorded(self, block: int) -> SealRecord | None:
        found = self._seals.record(block)
        if found is None and (flaw := self._seals.unrecorded(block)) is not None:
            raise self._seals.fault(flaw)
        return found

    def results(self, block: int, rows: range | None = None) -> dict[int, Result]:
        """A block's results, by row and in order; with `rows`, those among them alone."""
        newer, bills = entries_of(self._journal, block, self._block_rows)
        found = {**self._sealed(block, _every if rows is None else _those(rows)), **newer}
        found = brought_up_to_date(found, bills)
        return {row: found[row] for row in sorted(found) if rows is None or row in rows}

    def rows(self, block: int) -> list[range]:
        """Which rows of a block have a result, in order; of a sealed one no answer is read."""
        newer = sorted(self.journalled(block))
        record = self.record(block)
        sealed = range(0) if record is None else range(record.start, record.start + record.rows)
        others = [range(row, row + 1) for row in newer if row not in sealed]
        return sorted([*others, sealed] if sealed else others, key=lambda one: one.start)

    def failures(self, block: int) -> dict[int, Result]:
        """A block's failed results, by row and in order. A part without any is not opened."""
        newer, bills = entries_of(self._journal, block, self._block_rows)
        record = self.record(block)
        older = {}
        if record is not None and record.tally.failed:
            older = self._sealed(block, self._failed)
        found = brought_up_to_date({**older, **newer}, bills)
        return {row: found[row] for row in sorted(found) if found[row].failed}

    def outlines(self, block: int, *, journal_alone: bool = False) -> dict[int, Outline]:
        """What is known of a block's results without their answers, by row and in order."""
        newer = self.journalled(block)
        found = {} if journal_alone else self._steadily(block, self._sealed_outlines)
        for row, one in newer.items():
            key, identity = (bytes.fromhex(text) for text in (one.key, one.row_id))
            found[row] = Outline(key, identity, one.failed, one.model)
        return {row: found[row] for row in sorted(found)}

    def _sealed_outlines(self, block: int) -> dict[int, Outline]:
        owner = self._owner(block)
        if owner is None:
            return {}
        record, waiting = owner
        keys, ids = self._seals.packed_keys(record, waiting=waiting)
        names = [f"{self._prefix}{name}" for name in ("error_type", "model")]
        schema = pa.schema([result_schema(self._prefix).field(name) for name in names])
        try:
            table = read_columns(self._seals.part(block), self._seals.kind, schema)
            errors, models = (table[name].to_pylist() for name in names)
            return {
                record.start + at: Outline(key_at(keys, at), key_at(ids, at), error is not None, by)
                for at, (error, by) in enumerate(zip(errors, models, strict=True))
            }
        except (OSError, ValueError, LookupError) as error:
            raise self._seals.lost(record, f"cannot be read ({_line(error)})") from error

    def tables(self, block: int) -> Iterator[pa.Table]:
        """A sealed block's rows as its Parquet part has them, input columns too, in pieces."""
        self._steadily(block, self._owner)
        yield from iter_tables(self._seals.part(block))

    def schema(self, block: int) -> pa.Schema:
        """The columns of a sealed block's Parquet part."""
        self._steadily(block, self._owner)
        return pq.read_schema(self._seals.part(block))

    def tally(self, damaged: Collection[int | None] = ()) -> Tally:
        """All results and bills: records where blocks are sealed, else the results themselves.

        Of `damaged` blocks only what their journal holds.
        """
        total = Tally()
        for block in self.blocks():
            newer, bills = entries_of(self._journal, block, self._block_rows)
            record = None if block in damaged else self.record(block)
            if record is not None and not newer and not bills:
                self._check_size(record)
                total.merge(record.tally)
                continue
            older = {} if block in damaged else self._sealed(block, _every)
            results = {**older, **newer}
            for result in brought_up_to_date(results, bills).values():
                total.add(result)
            for row in bills.keys() - results.keys():
                total.add_bill(bills[row])
        return total

    def _check_size(self, record: SealRecord) -> None:
        part = self._seals.part(record.block)
        if not part.exists() or part.stat().st_size != record.part_bytes:
            self._steadily(record.block, self._owner)  # damaged, or just sealed anew

    def _sealed(self, block: int, choose: Choice) -> dict[int, Result]:
        """The chosen results of a block's part; {} where there is none."""

        def read(block: int) -> dict[int, Result]:
            owner = self._owner(block)
            if owner is None:
                return {}
            record, waiting = owner
            keys = self._seals.keys(record, waiting=waiting)
            path, kind = self._seals.part(block), self._seals.kind
            try:
                table = read_columns(path, kind, result_schema(self._prefix))
                places = choose(record, table)
                chosen = table.take(pa.array(places, pa.int64()))
                chosen_keys = [keys[at] for at in places]
                found = results_of(chosen, self._prefix, chosen_keys, record.unmetered)
                return {result.row: result for result in found}
            except (OSError, ValueError, LookupError) as error:
                raise self._seals.lost(record, f"cannot be read ({_line(error)})") from error

        return self._steadily(block, read)

    def _steadily(self, block: int, read: Callable[[int], _T]) -> _T:
        """What `read` finds while the block is not being sealed anew."""
        while True:
            before = self._seals.state(block)
            try:
                found = read(block)
            except MachineFault:
                if self._seals.state(block) == before:
                    raise
            else:
                if self._seals.state(block) == before:
                    return found

    def _owner(self, block: int) -> tuple[SealRecord, bool] | None:
        """The record that describes the part lying there, and whether it is the waiting one.

        After a crash between the renames the part is newer than its record, until the run's next
        start mends that.
        """
        record = self._recorded(block)
        if record is None:
            return None
        try:
            found = sha256_of(self._seals.part(block))
        except FileNotFoundError:
            raise self._seals.lost(record, "is missing") from None
        except OSError as error:
            raise self._seals.lost(record, f"cannot be read ({_line(error)})") from error
        if found == record.part_sha256:
            return record, False
        with suppress(MachineFault):  # a waiting record may be cut off
            waiting = self._seals.record(block, waiting=True)
            if waiting is not None and found == waiting.part_sha256:
                return waiting, True
        raise self._seals.lost(record, "is damaged (its SHA-256 is not the one on record)")

    def _failed(self, record: SealRecord, table: pa.Table) -> Sequence[int]:
        del record
        errors = table[f"{self._prefix}error_type"].to_pylist()
        return [at for at, error in enumerate(errors) if error is not None]


def _every(record: SealRecord, table: pa.Table) -> Sequence[int]:
    del record
    return range(len(table))


def _those(rows: range) -> Choice:
    def choose(record: SealRecord, table: pa.Table) -> Sequence[int]:
        first, stop = rows.start - record.start, rows.stop - record.start
        return range(max(0, first), min(len(table), max(0, stop)))

    return choose


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
