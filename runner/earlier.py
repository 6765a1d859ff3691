"""What have earlier runs kept? Each block's results so far, for the run that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import MachineFault
from runner.journal import brought_up_to_date, look_into, read_journals
from runner.output import result_schema, results_of
from runner.part_files import read_columns
from runner.soundness import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.damage import Damage
    from runner.folder import RunFile, RunFolder
    from runner.records import Result, Unfinished
    from runner.seal_record import SealRecord
    from runner.tally import Tally


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
        self._damaged_lines = 0

    def read_journals(
        self, say: Callable[[str], None]
    ) -> Iterator[tuple[dict[int, Result], dict[int, Unfinished]]]:
        """Each journalled block's results and bills by row; flaws are said. Call it once.

        Raises MachineFault for a file that has been renamed. What is yielded is let go: a block's
        results are read again when its turn comes, so that memory does not grow with the number of
        open blocks.
        """
        for file in read_journals(self._folder.journal, self._run.block_rows, mend=True):
            self._refuse(file.astray())
            for flaw in file.flaws():
                say(f"{flaw}.")
            self._damaged_lines += len(file.damaged_lines)
            self.journalled.add(file.block)
            self._bills[file.block] = file.bills
            yield {**self._part_results(file.block), **file.results}, file.bills

    def check_all_found(self, found: Tally) -> None:
        """Raise MachineFault where less is found than was counted before. Call it last."""
        self._refuse(missing(self._folder, self._run, found, named=self._damaged_lines))

    def _refuse(self, flaw: Damage | None) -> None:
        """What was paid for is asked again only where somebody has accepted that."""
        if flaw is not None:
            raise MachineFault(f"{flaw}. {flaw.ways_on(self._folder.path)}")

    def bills(self, block: int) -> dict[int, Unfinished]:
        """What rows have cost that have no result since, by row."""
        return self._bills.get(block, {})

    def results(self, block: int) -> tuple[dict[int, Result], dict[int, Result]]:
        """A block's results so far, the journal's over the part's; and those of the part alone."""
        sealed = self._part_results(block)
        results = dict(sealed)
        if block in self.journalled:
            results |= look_into(self._folder.journal, block, self._run.block_rows)
        return brought_up_to_date(results, self.bills(block)), sealed

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
