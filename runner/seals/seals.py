"""A complete block becomes one part, in steps of which any prefix may be the last before a crash.

    1 part under a temporary name      .part-00007.parquet, forced to disk
    2 keys and record of the new part  seals/00007.next.keys, seals/00007.next.json
    3 part renamed to its one name     completions/part-00007.parquet, folder forced to disk
    4 the same for keys, then record   seals/00007.keys, seals/00007.json
    5 the block's journal file goes    (the caller's step)

`mend` brings what a crash left back to a state that one of these steps left behind. After 1 or 2
the journal still holds every result and the new files are dropped. After 3 the part's hash equals
the waiting record's, which is then promoted. After 4 the journal's lines equal the part's rows and
may be merged over them once more without harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from runner.durable import (
    faults,
    fsync_folder,
    new_file,
    remove,
    removed_on_failure,
    rename,
    temporary_of,
    write_durable,
)
from runner.errors import MachineFault
from runner.hashed_file import HashedFile, sha256_of, sha256_over
from runner.part_files import TableWriter
from runner.seal_record import SealRecord
from runner.seals.keys import KEY_BYTES
from runner.seals.sealed_blocks import SealedBlocks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.tally import Tally

# Gathered by Arrow before Python is called. A part is some hundred small writes, and each would
# take the interpreter from the event loop.
_BUFFER_BYTES = 1 << 20


class Seals(SealedBlocks):
    """The same for whoever holds the run's lock: blocks are sealed, mended and set aside."""

    def seal(
        self,
        block: int,
        start: int,
        tables: Iterable[pa.Table],
        keys: bytes,
        tally: Tally,
        unmetered: dict[int, int] | None = None,
        ids: bytes = b"",
    ) -> SealRecord:
        """Steps 1 to 4. `tables` are the block's rows in order, at least one table.

        `keys` and `ids` are `packed`; no ids where no row has one.

        Raises MachineFault; what lay there before is then still there, whole.
        """
        part = self.part(block)
        temporary = temporary_of(part)
        with faults("write", part), removed_on_failure(temporary):
            size, sha256 = self._write_part(temporary, tables)
            record = SealRecord(
                block, start, len(keys) // KEY_BYTES, part.name, size, sha256, tally,
                unmetered or {}, keys_sha256=sha256_over(keys + ids), has_ids=bool(ids),
            )  # fmt: skip
            write_durable(self.keys_path(block, waiting=True), keys + ids)
            write_durable(self.record_path(block, waiting=True), record.encode())
            fsync_folder(self.seals)
            rename(temporary, part)
            fsync_folder(self.parts)
            self._promote(block)
        return record

    def _write_part(self, path: Path, tables: Iterable[pa.Table]) -> tuple[int, str]:
        with new_file(path) as file:
            hashed = HashedFile(file)
            native = pa.PythonFile(hashed, "w")  # type: ignore[arg-type]
            with pa.BufferedOutputStream(native, _BUFFER_BYTES) as gathered:
                self._write_tables(gathered, tables)
        return hashed.bytes, hashed.hexdigest()

    def _write_tables(self, file: pa.NativeFile, tables: Iterable[pa.Table]) -> None:
        writer: TableWriter | None = None
        for table in tables:
            writer = writer or TableWriter(file, table.schema, self.kind)
            writer.write(table)
        assert writer is not None  # noqa: S101 - a block has rows
        writer.close()

    def part_bytes(self, tables: Iterable[pa.Table]) -> int:
        """How large the part of a block's rows is, without a file."""
        nowhere = pa.MockOutputStream()
        self._write_tables(nowhere, tables)
        size: int = nowhere.size()
        return size

    def _promote(self, block: int) -> None:
        next_keys = self.keys_path(block, waiting=True)
        # Keys first: a record is what makes them count.
        if next_keys.exists():
            rename(next_keys, self.keys_path(block))
            fsync_folder(self.seals)  # or a power cut might keep the second rename alone
        rename(self.record_path(block, waiting=True), self.record_path(block))
        fsync_folder(self.seals)

    def mend(self) -> None:
        """Finish or undo what a crash cut short. Call once, before anything is sealed."""
        with faults("mend", self.seals):
            for waiting in sorted(self.seals.glob("*.next.json")):
                block = int(waiting.name.split(".")[0])
                part = self.part(block)
                if part.exists() and self._describes(waiting, part):
                    self._promote(block)
            for pattern in (".part-*.tmp", "*.next.json", "*.next.keys"):
                for leftover in (*self.parts.glob(pattern), *self.seals.glob(pattern)):
                    remove(leftover)

    def _describes(self, waiting: Path, part: Path) -> bool:
        try:
            return SealRecord.read(waiting).part_sha256 == sha256_of(part)
        except MachineFault:  # cut off while it was written, so its part was not yet renamed
            return False

    def set_aside(self, block: int, place: Path) -> None:
        """Move whatever is left of a block below `place`, in its usual folders there.

        The record goes last: as long as it lies here, the block is known to be damaged.
        """
        with faults("set aside", self.part(block)):
            for path in (self.part(block), self.keys_path(block), self.record_path(block)):
                folder = place / path.parent.name
                folder.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    rename(path, folder / path.name)
                    fsync_folder(folder)
                    fsync_folder(path.parent)
