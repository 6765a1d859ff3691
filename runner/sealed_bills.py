"""What does a lost part's record count that no journal line does? So every bill counts once.

Lines newer than a part carry its bills on: of a row asked again, and after a crash amid sealing, of
every row. While the part is there they stand over its results; without it only sums are left of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import MachineFault
from runner.journal import JournalFile, path_of
from runner.seal_record import SealRecord
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path


def beyond_journal(record_path: Path, journal: Path) -> Tally:
    """What a block's record counts beyond the block's file in the folder `journal`.

    Nothing where there is no record, or it cannot be read.
    """
    try:
        record = SealRecord.read(record_path)
    except (MachineFault, OSError):
        return Tally()
    path = path_of(journal, record.block)
    if not path.exists():
        return record.tally
    return record.tally.beyond(_in_both(record, JournalFile(path, mend=False)))


def _in_both(record: SealRecord, file: JournalFile) -> Tally:
    """What the record counts of rows that have lines in the file."""
    both = Tally()
    for row in range(record.start, record.start + record.rows):
        bill = file.bills.get(row) or file.results.get(row)
        if bill is None:
            continue
        # Without a word on this very part the part was made of this line, just before a crash.
        sealed = file.sealed_bills.get(row)
        is_older = sealed is not None and sealed.part_sha256 == record.part_sha256
        both.add_bill(sealed if sealed is not None and is_older else bill)
        both.rows += row in file.results  # another row has lost its result with the part
    return both
