"""Every result is journalled, counts once it is on disk, and is sealed with its block.

The second half of a row's way: what `asking` found out, kept so that no crash can lose it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.blocks import ANSWER_BYTES, Block, rows_to_ask, to_read
from runner.earlier import Earlier
from runner.journal import Journal, brought_up_to_date
from runner.output import output_schema
from runner.pilot import pilot_spans
from runner.records import Unfinished
from runner.room import Room
from runner.row_ids import row_id
from runner.sealing import Sealing
from runner.tally import Tally
from runner.together import together

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from runner.asked_again import Retry
    from runner.dataset import Batch
    from runner.folder import RunFile, RunFolder
    from runner.records import Result, Row
    from runner.seal_record import SealRecord


class Keeping:
    """The results of one run folder, for the one process that holds its lock."""

    def __init__(
        self,
        folder: RunFolder,
        run: RunFile,
        inputs: pa.Schema,
        *,
        retry: Retry | None,
        on_count: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._run = run
        self._say = say
        self._retry = retry
        self._on_count = on_count
        self._schema = output_schema(inputs, run.job.prefix)
        self._id_column = run.job.id_column
        self._seals = folder.seals(run)
        self._earlier = Earlier(folder, run)
        self._journal = Journal(folder.journal, self.block_of, self._count)
        self._unfinished: dict[int, Unfinished] = {}  # by row: counted, without a result
        self._in_part: dict[int, Unfinished] = {}  # by row: not yet noted, as the part has it
        self._open: dict[int, Block] = {}
        self._room = Room(say)
        self._to_seal: asyncio.Queue[Block | None] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-seal")
        self.tally = Tally()
        self.replaced: dict[int, Result] = {}  # by row: counted, but being asked again
        self._load()

    def block_of(self, row: int) -> int:
        """The block that a row belongs to."""
        return row // self._run.block_rows

    def _load(self) -> None:
        """Count what earlier runs kept, and find the blocks that have to be opened again."""
        earlier = self._earlier
        for results, bills in earlier.read_journals(self._say):
            for result in brought_up_to_date(results, bills).values():
                self.tally.add(result)
            for row in bills.keys() - results.keys():
                self._owe(bills[row])
        self._reopened = set(earlier.journalled)
        for index, record in earlier.sealed.items():
            if self._retry is not None and self._retry.may_take_from(record.tally):
                self._reopened.add(index)
            if index not in earlier.journalled:
                self.tally.merge(record.tally)
        earlier.check_all_found(self.tally)
        for kind in self._retry.missing_in(self.tally) if self._retry is not None else ():
            there = ", ".join(sorted(self.tally.failures)) or "none"
            self._say(f"--retry {kind}: no row has such a result; failures there are: {there}.")

    def spans(self, end: int | None) -> list[range]:
        """The rows to read, up to `end` (None: to wherever the dataset ends)."""
        sealed = self._earlier.sealed
        if self._run.pilot is not None:
            return pilot_spans(self._run.pilot, self._run.block_rows, sealed, self._reopened)
        return to_read(self._run.block_rows, end, sealed, self._reopened)

    async def wait_for_room(self, workers: int) -> None:
        """Return when another batch may be read, where so many workers want rows."""
        await self._room.wait(self._open.values(), workers)

    @property
    def is_full(self) -> bool:
        """Whether reading waits: `room` tells for what."""
        return self._room.is_full

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        """Lay a batch's inputs into their blocks; the rows that are to be asked."""
        rows: list[Row] = []
        at, stop = batch.start, batch.start + len(batch.rows)
        while at < stop:
            block = self._block(self.block_of(at), end)
            upto = min(stop, block.stop)
            piece = batch.rows[at - batch.start : upto - batch.start]
            if self._id_column is not None:
                block.add_ids(at, [row_id(row, self._id_column) for row in piece])
            if self._run.pilot is not None:
                # A block with scattered rows is never complete: it stays journalled, and its
                # inputs are not held.
                rows += rows_to_ask(block, piece)
                at = upto
                continue
            block.inputs.append(batch.inputs.slice(at - batch.start, len(piece)))
            block.rows_read += len(piece)
            block.open_bytes += block.inputs[-1].nbytes + ANSWER_BYTES * len(piece)
            asked = rows_to_ask(block, piece)
            block.unanswered += len(asked)
            rows += asked
            self._seal_if_complete(block)
            at = upto
        self._room.look(self._open.values())
        return rows

    def _block(self, index: int, end: int | None) -> Block:
        block = self._open.get(index)
        if block is None:
            start = index * self._run.block_rows
            stop = start + self._run.block_rows
            block = Block(index, start, stop if end is None else min(stop, end))
            if index in self._reopened or index in self._earlier.sealed:
                self._bring_back(block)
            self._open[index] = block
        return block

    def _bring_back(self, block: Block) -> None:
        """Lay what earlier runs kept into a block that is opened again."""
        results, sealed = self._earlier.results(block.index)
        for row, result in results.items():
            if row >= block.stop:
                block.reaches_beyond = True
            elif self._retry is not None and self._retry.takes(result):
                self.replaced[row] = result
                if row in sealed:
                    part = self._earlier.sealed[block.index].part_sha256
                    self._in_part[row] = Unfinished.in_part(sealed[row], part)
            else:
                block.results[row] = result
        beyond = [row for row in self._earlier.bills(block.index) if row >= block.stop]
        block.reaches_beyond = block.reaches_beyond or bool(beyond)
        block.changed = block.index in self._earlier.journalled

    def end(self, rows: int) -> int:
        """The dataset, or the scope, ends here: its last block may be shorter than others.

        Returns the number of rows: `rows`, or more where sealed blocks were not read again.
        """
        sealed = self._earlier.sealed.values()
        known = max((one.start + one.rows for one in sealed), default=0)
        rows = max(rows, known)
        for block in list(self._open.values()):
            if block.stop > rows:
                block.stop = rows
                self._seal_if_complete(block)
        return rows

    def before(self, row: int) -> Result | Unfinished | None:
        """What the row was billed before: with a result that is asked again, or without one."""
        return self.replaced.get(row) or self._unfinished.get(row)

    async def keep(self, result: Result) -> None:
        """Hand a result to the disk; it counts a little later. Raises MachineFault."""
        if self._id_column is not None:
            block = self._open[self.block_of(result.row)]
            result = replace(result, row_id=block.id_of(result.row))
        self._append(result)

    async def keep_bill(self, bill: Unfinished) -> None:
        """Likewise what a row has cost that has no result yet."""
        self._append(bill)

    def _append(self, entry: Result | Unfinished) -> None:
        sealed = self._in_part.pop(entry.row, None)
        if sealed is not None:
            self._journal.append(sealed)
        self._journal.append(entry)

    def _owe(self, bill: Unfinished) -> None:
        """Count the bill of a row without a newer result, in place of what it was billed before."""
        before = self.replaced.get(bill.row)
        if before is not None:
            self.replaced[bill.row] = newer = bill.on(before)
            self.tally.add(before, -1)
            self.tally.add(newer)
            return
        earlier = self._unfinished.get(bill.row)
        if earlier is not None:
            self.tally.add_bill(earlier, -1)
        self.tally.add_bill(bill)
        self._unfinished[bill.row] = bill

    def _count(self, entries: list[Result | Unfinished]) -> None:
        for result in entries:
            if isinstance(result, Unfinished):
                if result.part_sha256 is None:
                    self._owe(result)
                continue
            before = self.replaced.pop(result.row, None)
            if before is not None:
                self.tally.add(before, -1)
            elif (bill := self._unfinished.pop(result.row, None)) is not None:
                self.tally.add_bill(bill, -1)
            self.tally.add(result)
            block = self._open[self.block_of(result.row)]
            block.results[result.row] = result
            block.unanswered -= 1
            block.changed = True
            self._seal_if_complete(block)
        if self._room.is_full:
            self._room.look(self._open.values())
        self._on_count()

    def _seal_if_complete(self, block: Block) -> None:
        if block.is_complete and not block.handed_over:
            self._to_seal.put_nowait(block)

    async def work(self) -> None:
        """Journal and seal until `close`. Raises MachineFault."""
        async with together() as tasks:
            sealing = tasks.create_task(self._seal_all())
            await self._journal.keep()
            self._to_seal.put_nowait(None)
            await sealing
        if self._retry is not None:
            self._recount_failures()

    async def _seal_all(self) -> None:
        while (block := await self._to_seal.get()) is not None:
            if block.changed:
                self._earlier.sealed[block.index] = await self._seal(block)
                self._journal.remove(block.index)
            del self._open[block.index]
            self._earlier.close(block.index)
            self._reopened.discard(block.index)
            self._room.look(self._open.values())

    def _recount_failures(self) -> None:
        """Examples of failures that were mended give way to some that still hold."""
        total, earlier = Tally(), self._earlier
        for index in sorted({*earlier.sealed, *earlier.journalled, *self._open}):
            block = self._open.get(index)
            if block is None and index not in earlier.journalled:
                total.merge(earlier.sealed[index].tally)
                continue
            newer = block.results if block is not None else {}
            for result in {**earlier.results(index)[0], **newer}.values():
                total.add(result)
        self.tally.failures = total.failures

    async def _seal(self, block: Block) -> SealRecord:
        sealing = Sealing(block.hand_over(), self._schema, self._run.job.prefix)
        await sealing.gather_between()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, sealing.seal_journalled, self._seals, block.index, block.inputs
        )

    def close(self) -> None:
        """No more results will come: `work` writes what is left and returns."""
        self._journal.close()

    @property
    def uncounted(self) -> int:
        """Results and bills that were handed to the disk, which has not said that it has them."""
        return self._journal.uncounted

    def release(self) -> None:
        """Count what is on disk, and give threads and files back, whatever happened before."""
        self._journal.release()
        self._thread.shutdown()
