"""What have earlier runs kept? Each block's results so far, for the run that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.journal import brought_up_to_date, look_into, read_journals
from runner.output import result_schema, results_of
from runner.part_files import read_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.folder import RunFile, RunFolder
    from runner.records import Result, Unfinished
    from runner.seal_record import SealRecord


class Earlier:
    """Sealed blocks and journalled ones. Its owner holds the run's lock and tells what it seals."""

    def __init__(self, folder: RunFolder, run: RunFile) -> None:
        self._folder = folder
        self._run = run
        self._seals = folder.seals(run)
        self._seals.mend()
        self.sealed: dict[int, SealRecord] = self._seals.records()
        self.journalled: set[int] = set()  # blocks with results that no part has
        self._bills: dict[int, dict[int, Unfinished]] = {}  # by block and row, as read at the start

    def read_journals(
        self, say: Callable[[str], None]
    ) -> Iterator[tuple[dict[int, Result], dict[int, Unfinished]]]:
        """Each journalled block's results and bills by row; flaws are said. Call it once.

        What is yielded is let go: a block's results are read again when its turn comes, so that
        memory does not grow with the number of open blocks.
        """
        for file in read_journals(self._folder.journal, self._run.block_rows, mend=True):
            for flaw in file.flaws():
                say(f"{flaw}.")
            self.journalled.add(file.block)
            self._bills[file.block] = file.bills
            yield {**self._part_results(file.block), **file.results}, file.bills

    def bills(self, block: int) -> dict[int, Unfinished]:
        """What rows have cost that have no result since, by row."""
        return self._bills.get(block, {})

    def results(self, block: int) -> dict[int, Result]:
        """A block's results so far, the journal's over the part's."""
        results = self._part_results(block)
        if block in self.journalled:
            results |= look_into(self._folder.journal, block, self._run.block_rows)
        return brought_up_to_date(results, self.bills(block))

    def _part_results(self, block: int) -> dict[int, Result]:
        """The results in a block's part; {} where there is none."""
        record, prefix = self.sealed.get(block), self._run.job.prefix
        if record is None:
            return {}
        self._seals.verify(record)
        table = read_columns(self._seals.part(block), self._seals.kind, result_schema(prefix))
        found = results_of(table, prefix, self._seals.keys(record), record.unmetered)
        return {result.row: result for result in found}

    def close(self, block: int) -> None:
        """All that was journalled of this block has a part now."""
        self.journalled.discard(block)
        self._bills.pop(block, None)
