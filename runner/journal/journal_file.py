"""What has been journalled? A block's file as it is read, torn or damaged lines and all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.damage import Damage
from runner.durable import cut_off, faults
from runner.errors import MachineFault
from runner.journal.lines import decode_line
from runner.records import Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.records import Unfinished


def path_of(folder: Path, block: int) -> Path:
    """Where a block's lines lie."""
    return folder / f"{block:05d}.jsonl"


def paths_in(folder: Path) -> list[Path]:
    """The files of all blocks that have one, in order of block."""
    return sorted(folder.glob("[0-9]*.jsonl"))


class JournalFile:
    """What one block's journal file holds.

    With `mend` a torn last line is cut off the file, which only the run's one writer may do. With
    `block_rows` rows of other blocks are no results: the file has been renamed.
    """

    def __init__(self, path: Path, block_rows: int | None = None, *, mend: bool) -> None:
        self.path = path
        self.block = int(path.stem)
        self.results: dict[int, Result] = {}  # by row; of several lines for a row the last holds
        # By row; of what came after its result, if it has one.
        self.bills: dict[int, Unfinished] = {}
        self.sealed_bills: dict[int, Unfinished] = {}  # by row; what a part has of its bill
        self.damaged_lines: list[int] = []  # numbered from 1; their rows are asked again
        self.strange_rows: list[int] = []  # of other blocks
        self._block_rows = block_rows
        self._read(mend=mend)

    def _read(self, *, mend: bool) -> None:
        with faults("read", self.path), self.path.open("rb") as file:
            whole_bytes = 0
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # torn by a crash while it was written
                whole_bytes += len(line)
                entry = decode_line(line)
                if entry is None:
                    self.damaged_lines.append(number)
                elif self._block_rows and entry.row // self._block_rows != self.block:
                    self.strange_rows.append(entry.row)
                elif isinstance(entry, Result):
                    self.results[entry.row] = entry
                    self.bills.pop(entry.row, None)
                elif entry.part_sha256 is not None:
                    self.sealed_bills[entry.row] = entry
                else:
                    self.bills[entry.row] = entry
        if mend and whole_bytes < self.path.stat().st_size:
            # Appending behind half a line would damage the next one too.
            with faults("cut the torn last line off", self.path):
                cut_off(self.path, whole_bytes)

    def flaws(self) -> list[str]:
        """What is damaged in it, and what that means."""
        return [
            f"{self.path}, line {line}, is damaged; its row is asked again"
            for line in self.damaged_lines
        ]

    def astray(self) -> Damage | None:
        """What is wrong where it holds results of other blocks: it has been renamed."""
        if not self.strange_rows or not self._block_rows:
            return None
        first = self.strange_rows[0]
        its_name = path_of(self.path.parent, first // self._block_rows)
        return Damage(
            self.block,
            self.path,
            f"holds results of other blocks, from row {first:,} on, and seems to be "
            f"{its_name.name} under another name",
            count=len(set(self.strange_rows)),
            remedy=f"give it back its name ({its_name})",
        )


def read_journals(folder: Path, block_rows: int, *, mend: bool) -> Iterator[JournalFile]:
    """Every block's journal file below `folder`, in order of block."""
    for path in paths_in(folder):
        try:
            file = JournalFile(path, block_rows, mend=mend)
        except MachineFault as fault:
            if mend or not isinstance(fault.__cause__, FileNotFoundError):
                raise
            continue  # a run that goes on has just sealed it
        yield file


def look_into(folder: Path, block: int, block_rows: int) -> dict[int, Result]:
    """The results that a reader finds in a block's journal file, by row; {} without a file."""
    return entries_of(folder, block, block_rows)[0]


def entries_of(
    folder: Path, block: int, block_rows: int
) -> tuple[dict[int, Result], dict[int, Unfinished]]:
    """What a reader finds in a block's journal file: results and bills by row; none without a file.

    The run that goes on may delete the file at any moment, and has then sealed the block.
    """
    try:
        file = JournalFile(path_of(folder, block), block_rows, mend=False)
    except MachineFault as fault:
        if isinstance(fault.__cause__, FileNotFoundError):
            return {}, {}
        raise
    return file.results, file.bills


def brought_up_to_date(
    results: dict[int, Result], bills: dict[int, Unfinished]
) -> dict[int, Result]:
    """Results, those with the later bill that were asked again and have no newer result."""
    if not bills:
        return results
    later = {row: bills[row].on(results[row]) for row in bills if row in results}
    return {**results, **later}
