"""A complete block becomes one part, in steps of which any prefix may be the last before a crash.

    1 part under a temporary name      .part-00007.parquet, forced to disk
    2 keys and record of the new part  seals/00007.next.keys, seals/00007.next.json
    3 part renamed to its one name     completions/part-00007.parquet, folder forced to disk
    4 record renamed to its one name   seals/00007.keys, seals/00007.json
    5 the block's journal file goes    (the caller's step)

`mend` brings what a crash left back to a state that one of these steps left behind. After 1 or 2
the journal still holds every result and the new files are dropped. After 3 the part's hash equals
the waiting record's, which is then promoted. After 4 the journal's lines equal the part's rows and
may be merged over them once more without harm.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from runner.durable import faults, fsync_folder, write_durable
from runner.errors import MachineFault
from runner.part_files import TableWriter
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import IO

    import pyarrow as pa

    from runner.job import Format

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class SealRecord:
    """What is known of a sealed block without opening its part. Made and read here."""

    block: int
    start: int  # position of its first row
    rows: int
    part: str  # the part's file name
    part_bytes: int
    part_sha256: str
    tally: Tally

    def encode(self) -> bytes:
        """The record as the text of its file."""
        data = {name: getattr(self, name) for name in self.__slots__ if name != "tally"}
        return orjson.dumps({**data, "tally": self.tally.to_json()}, option=orjson.OPT_INDENT_2)

    @classmethod
    def read(cls, path: Path) -> SealRecord:
        """The record in a file. Raises MachineFault when it is unreadable."""
        try:
            data = orjson.loads(path.read_bytes())
            return cls(**{**data, "tally": Tally.from_json(data["tally"])})
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise MachineFault(
                f"{path} is damaged ({error}); restore it from a copy, or delete it and its part "
                f"so that the rows of this block are asked again"
            ) from None


class _HashedFile:
    """A binary file that hashes what passes through, so that the part is not read again."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.closed = False
        self.bytes = 0

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self.bytes += len(memoryview(data).cast("B"))
        return self._file.write(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


class Seals:
    """The sealed blocks of a run folder: their parts, records and keys."""

    def __init__(self, parts: Path, seals: Path, kind: Format) -> None:
        self.parts = parts
        self.seals = seals
        self.kind = kind

    def part(self, block: int) -> Path:
        """Where a block's part lies."""
        return self.parts / f"part-{block:05d}.{self.kind}"

    def _record(self, block: int) -> Path:
        return self.seals / f"{block:05d}.json"

    def _keys(self, block: int) -> Path:
        return self.seals / f"{block:05d}.keys"

    def keys(self, block: int) -> list[str]:
        """The request keys of a sealed block's rows, in order, as hex."""
        path = self._keys(block)
        with faults("read", path):
            packed = path.read_bytes()
        return [
            packed[at : at + _KEY_BYTES].hex() if any(packed[at : at + _KEY_BYTES]) else ""
            for at in range(0, len(packed), _KEY_BYTES)
        ]

    def seal(
        self, block: int, start: int, tables: Iterable[pa.Table], keys: list[str], tally: Tally
    ) -> SealRecord:
        """Steps 1 to 4. `tables` are the block's rows in order, at least one table."""
        part = self.part(block)
        temporary = part.with_name(f".{part.name}.tmp")
        with faults("write", part):
            size, sha256 = self._write_part(temporary, tables)
            record = SealRecord(block, start, len(keys), part.name, size, sha256, tally)
            packed = b"".join(bytes.fromhex(key) if key else bytes(_KEY_BYTES) for key in keys)
            write_durable(self._keys(block).with_suffix(".next.keys"), packed)
            write_durable(self._record(block).with_suffix(".next.json"), record.encode())
            fsync_folder(self.seals)
            temporary.replace(part)
            fsync_folder(self.parts)
            self._promote(block)
        return record

    def _write_part(self, path: Path, tables: Iterable[pa.Table]) -> tuple[int, str]:
        with path.open("wb") as file:
            hashed = _HashedFile(file)
            writer: TableWriter | None = None
            for table in tables:
                writer = writer or TableWriter(hashed, table.schema, self.kind)  # type: ignore[arg-type]
                writer.write(table)
            assert writer is not None  # noqa: S101 - a block has rows
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        return hashed.bytes, hashed.hexdigest()

    def _promote(self, block: int) -> None:
        keys, record = self._keys(block), self._record(block)
        # Keys first: a record is what makes them count.
        if keys.with_suffix(".next.keys").exists():
            keys.with_suffix(".next.keys").replace(keys)
        record.with_suffix(".next.json").replace(record)
        fsync_folder(self.seals)

    def mend(self) -> None:
        """Finish or undo what a crash cut short. Call once, before anything is sealed."""
        for leftover in self.parts.glob(".part-*.tmp"):
            leftover.unlink()
        for waiting in sorted(self.seals.glob("*.next.json")):
            block = int(waiting.name.split(".")[0])
            part = self.part(block)
            if part.exists() and self._describes(waiting, part):
                self._promote(block)
            else:
                waiting.unlink()
        for orphan in self.seals.glob("*.next.keys"):
            orphan.unlink()
        for leftover in self.seals.glob(".*.tmp"):
            leftover.unlink()

    def _describes(self, waiting: Path, part: Path) -> bool:
        try:
            return SealRecord.read(waiting).part_sha256 == _sha256_of(part)
        except MachineFault:  # cut off while it was written, so its part was not yet renamed
            return False

    def records(self) -> dict[int, SealRecord]:
        """All sealed blocks. Raises MachineFault for a part that is missing or has another size."""
        found = {}
        for path in sorted(self.seals.glob("[0-9]*.json")):
            if path.name.endswith(".next.json"):
                continue
            record = SealRecord.read(path)
            self._check(record)
            found[record.block] = record
        return found

    def _check(self, record: SealRecord) -> None:
        part = self.part(record.block)
        try:
            size = part.stat().st_size
        except FileNotFoundError:
            problem = "is missing"
        else:
            if size == record.part_bytes:
                return
            problem = f"has {size:,} bytes and should have {record.part_bytes:,}"
        raise MachineFault(
            f"{part} {problem}: its {record.rows:,} rows (from row {record.start:,}) were answered "
            f"and paid for. Restore the file from a copy; to ask these rows again, delete "
            f"{self._record(record.block)} and what is left of the part"
        )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
