"""Is all that a run has kept still there, and as it was written?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.counted import counted
from runner.damage import Damage
from runner.journal import JournalFile, brought_up_to_date, read_journals
from runner.kept import Kept
from runner.sealed_bills import beyond_journal
from runner.summary import Summary

if TYPE_CHECKING:
    from runner.folder import RunFile, RunFolder
    from runner.tally import Tally


def examine(folder: RunFolder, run: RunFile, *, verify: bool) -> list[Damage]:
    """Which blocks cannot be used: their sizes tell, or with `verify` their contents.

    A run that goes on meanwhile may just be sealing one, so what is found is looked at twice.
    """
    seals = folder.seals(run)
    flaws = seals.examine(verify=verify)[1]
    if not flaws:
        return []
    again = {flaw.block for flaw in seals.examine(verify=verify)[1]}
    return [flaw for flaw in flaws if flaw.block in again]


def look_through_journal(folder: RunFolder, run: RunFile) -> tuple[list[Damage], list[str]]:
    """Files that hold results of other blocks; and damaged lines, whose rows are asked again."""
    astray: list[Damage] = []
    lines: list[str] = []
    for file in read_journals(folder.place("journal", run), run.block_rows, mend=False):
        if (found := file.astray()) is not None:
            astray.append(found)
        lines += file.flaws()
    return astray, lines


def missing(folder: RunFolder, run: RunFile, found: Tally, *, named: int) -> Damage | None:
    """What is wrong where fewer results are found than the last summary counted.

    `named`: results that are known to be damaged. A result counts only once it is on disk, so a
    summary never counts one that a crash could lose.
    """
    told = _counted_before(folder, run)
    gone = 0 if told is None else told.rows - found.rows - named
    if told is None or gone <= 0:
        return None
    return Damage(
        None,
        folder.place("journal", run),
        f"seems to lack a file, or the end of one: {counted(told.rows, 'row')} had a result when "
        f"the last summary was written, and {found.rows + named:,} have one now",
        count=gone,
        remedy="bring back what was deleted, renamed or cut off",
    )


def bill_of_missing(folder: RunFolder, run: RunFile, damaged: list[Damage]) -> Tally | None:
    """What was paid for results that are gone without a trace; None where none are missing.

    `damaged` are all the blocks whose parts cannot be read.
    """
    told = _counted_before(folder, run)
    if told is None:
        return None
    blocks = [flaw.block for flaw in damaged if flaw.block is not None]
    known, journal = Kept(folder, run).tally(blocks), folder.place("journal", run)
    for block in blocks:
        known.merge(beyond_journal(folder.seals(run).record_path(block), journal))
    for astray in look_through_journal(folder, run)[0]:
        file = JournalFile(astray.path, mend=False)
        for row, result in brought_up_to_date(file.results, file.bills).items():
            if row // run.block_rows != file.block:
                known.add(result)
    gone = told.beyond(known)
    return gone if gone.rows else None


def _counted_before(folder: RunFolder, run: RunFile) -> Tally | None:
    """What the last summary counted; None where something has been superseded since."""
    told = Summary.read(folder.summary)
    if told is None or told.layout != len(run.superseded):
        return None
    return told.tally
