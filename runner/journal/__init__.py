from runner.journal.journal import OPEN_FILES, SYNC_RESULTS, Journal
from runner.journal.journal_file import (
    JournalFile,
    brought_up_to_date,
    entries_of,
    look_into,
    path_of,
    paths_in,
    read_journals,
)
from runner.journal.lines import Entry, cleaned, decode_line, encode_line

__all__ = [
    "OPEN_FILES",
    "SYNC_RESULTS",
    "Entry",
    "Journal",
    "JournalFile",
    "brought_up_to_date",
    "cleaned",
    "decode_line",
    "encode_line",
    "entries_of",
    "look_into",
    "path_of",
    "paths_in",
    "read_journals",
]
