"""A run's answers laid out anew, beside the layout that holds them, in bounded memory."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.durable import append, force, fsync_folder, remove
from runner.folder import PARTS_OF_LAYOUT
from runner.journal import brought_up_to_date, encode_line, look_into, path_of
from runner.kept import Kept
from runner.output import output_schema
from runner.sealed_bills import beyond_journal
from runner.sealing import seal_block
from runner.seals import Seals, key_at
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from runner.compared import Compared
    from runner.damage import Damage
    from runner.folder import RunFile, RunFolder
    from runner.preflight import Preflight
    from runner.records import Result


class Rebuilding:
    """Fills next/: block after block of the old answers, then of the new rows. Made by `switch`."""

    def __init__(
        self,
        folder: RunFolder,
        run: RunFile,
        new: RunFile,
        flight: Preflight,
        compared: Compared,
        damaged: list[Damage],
    ) -> None:
        self._folder = folder
        self._new = new
        self._flight = flight
        self._compared = compared
        self._damaged = {flaw.block: flaw for flaw in damaged}
        self._old_seals = folder.seals(run)
        self._old_journal = folder.place("journal", run)
        self._kept = Kept(folder, run)
        self._journal, parts, records = (folder.next / name for name in PARTS_OF_LAYOUT)
        self._seals = Seals(parts, records, new.job.format)
        self._gone = Tally()

    def build(self, *, keep_answered: bool) -> Tally:
        """All of next/, forced to disk; what was paid for and is not carried over."""
        for name in PARTS_OF_LAYOUT:
            (self._folder.next / name).mkdir(parents=True)
        places, counts = self._places(keep_answered=keep_answered)
        for block in self._kept.blocks():
            results = self._results(block)
            self._carry_over(results, places)
            # What attempts in vain have cost stays with the run, and not with a row to be asked.
            for row, bill in self._kept.bills(block).items():
                if row not in results:
                    self._gone.add_bill(bill)
        self._seal_whole_blocks(counts)
        for path in self._journal.iterdir():
            _force_to_disk(path)
        fsync_folder(self._journal)
        return self._gone

    def _places(self, *, keep_answered: bool) -> tuple[array[int], array[int]]:
        """The new row of each answer, -1 for none; and how many answers each new block has."""
        compared, size = self._compared, self._new.block_rows
        total = len(compared.matching.source)
        places = array("i", [-1]) * len(compared.found.answered.places)
        counts = array("i", [0]) * -(-total // size)
        for row, at in enumerate(compared.matching.source):
            if at >= 0 and compared.stays(row, keep_answered=keep_answered):
                places[at] = row
                counts[row // size] += 1
        return places, counts

    def _results(self, block: int) -> dict[int, Result]:
        if block not in self._damaged:
            return self._kept.results(block)
        record = self._old_seals.record_path(block)
        self._gone.merge(beyond_journal(record, self._old_journal))
        return brought_up_to_date(self._kept.journalled(block), self._kept.bills(block))

    def _carry_over(self, results: dict[int, Result], places: array[int]) -> None:
        """Append a block's answers to the journals of their new blocks, one file at a time."""
        answered, ids = self._compared.found.answered, self._compared.wanted.rows.ids
        lines: dict[int, list[bytes]] = {}
        for row, result in sorted(results.items()):
            if not result.key:
                continue  # nothing was asked, and telling so anew costs nothing
            at = self._at
            self._at += 1
            assert answered.places[at] == row  # noqa: S101 - both were read under one lock
            place = places[at]
            if place < 0:
                self._gone.add(result)
                continue
            moved = replace(result, row=place, row_id=key_at(ids, place).hex())
            lines.setdefault(place // self._new.block_rows, []).append(encode_line(moved))
        for block, found in lines.items():
            path = path_of(self._journal, block)
            with path.open("ab") as file:
                append(path, file.fileno(), b"".join(found))

    _at = 0  # the number of the next answer

    def _seal_whole_blocks(self, counts: array[int]) -> None:
        """Blocks of which every row is answered become parts at once; others wait for answers."""
        size, total = self._new.block_rows, len(self._compared.matching.source)
        spans = [
            range(start, min(start + size, total))
            for start in range(0, total, size)
            if counts[start // size] == min(start + size, total) - start
        ]
        prefix = self._new.job.prefix
        schema = output_schema(self._flight.inputs, prefix)
        for span, inputs in self._inputs(spans):
            block = span.start // size
            results = look_into(self._journal, block, size)
            ordered = [results.pop(row) for row in span]
            seal_block(self._seals, block, inputs, ordered, schema, prefix)
            remove(path_of(self._journal, block))

    def _inputs(self, spans: list[range]) -> Iterator[tuple[range, list[pa.RecordBatch]]]:
        """The dataset's columns for each span, in order."""
        names = self._flight.inputs.names
        batches = self._flight.dataset.batches(columns=(), keep=names, spans=spans)
        wanted, have = iter(spans), 0
        pieces: list[pa.RecordBatch] = []
        span = next(wanted, range(0))
        for batch in batches:
            at = 0
            while at < len(batch.rows):
                size = min(len(batch.rows) - at, len(span) - have)
                pieces.append(batch.inputs.slice(at, size))
                at, have = at + size, have + size
                if have == len(span):
                    yield span, pieces
                    span, pieces, have = next(wanted, range(0)), [], 0


def _force_to_disk(path: Path) -> None:
    with path.open("r+b") as file:
        force(path, file.fileno())
