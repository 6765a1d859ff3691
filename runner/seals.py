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

import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runner.durable import faults, fsync_folder, write_durable
from runner.errors import MachineFault
from runner.part_files import TableWriter
from runner.seal_record import SealRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import IO

    import pyarrow as pa

    from runner.job import Format
    from runner.tally import Tally

_KEY_BYTES = 16


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

    def blocks(self) -> list[int]:
        """The sealed blocks, in order; their parts are not looked at."""
        paths = self.seals.glob("[0-9]*.json")
        return sorted(int(path.stem) for path in paths if not path.name.endswith(".next.json"))

    def record(self, block: int, *, waiting: bool = False) -> SealRecord | None:
        """A block's record, or with `waiting` the one that will replace it; None: there is none.

        Its part is not looked at. Raises MachineFault when the record is damaged.
        """
        path = self._record(block)
        with suppress(FileNotFoundError):
            return SealRecord.read(path.with_suffix(".next.json") if waiting else path)
        return None

    def state(self, block: int) -> tuple[tuple[int, int, int] | None, ...]:
        """Changes whenever the block is sealed anew; equal states mean that nothing has moved."""
        paths = self.part(block), self._keys(block), self._record(block)
        return tuple(_identity(path) for path in paths)

    def keys(self, block: int, *, waiting: bool = False) -> list[str]:
        """The request keys of a sealed block's rows, in order, as hex."""
        path = self._keys(block)
        if waiting:
            path = path.with_suffix(".next.keys")
        with faults("read", path):
            packed = path.read_bytes()
        return [
            packed[at : at + _KEY_BYTES].hex() if any(packed[at : at + _KEY_BYTES]) else ""
            for at in range(0, len(packed), _KEY_BYTES)
        ]

    def seal(
        self,
        block: int,
        start: int,
        tables: Iterable[pa.Table],
        keys: list[str],
        tally: Tally,
        unmetered: dict[int, int] | None = None,
    ) -> SealRecord:
        """Steps 1 to 4. `tables` are the block's rows in order, at least one table.

        Raises MachineFault; what lay there before is then still there, whole.
        """
        part = self.part(block)
        temporary = part.with_name(f".{part.name}.tmp")
        with faults("write", part), _removed_on_failure(temporary):
            size, sha256 = self._write_part(temporary, tables)
            record = SealRecord(
                block, start, len(keys), part.name, size, sha256, tally, unmetered or {}
            )
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
            fsync_folder(self.seals)  # or a power cut might keep the second rename alone
        record.with_suffix(".next.json").replace(record)
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
                    leftover.unlink()

    def _describes(self, waiting: Path, part: Path) -> bool:
        try:
            return SealRecord.read(waiting).part_sha256 == sha256_of(part)
        except MachineFault:  # cut off while it was written, so its part was not yet renamed
            return False

    def records(self) -> dict[int, SealRecord]:
        """All sealed blocks. Raises MachineFault for one that is missing or has another size."""
        found = {}
        for path in sorted(self.seals.glob("[0-9]*.json")):
            if path.name.endswith(".next.json"):
                continue
            record = SealRecord.read(path)
            self._check(record)
            found[record.block] = record
        return found

    def _check(self, record: SealRecord) -> None:
        for path, expected in (
            (self.part(record.block), record.part_bytes),
            (self._keys(record.block), record.rows * _KEY_BYTES),
        ):
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                raise self.lost(record, "is missing", path) from None
            if size != expected:
                problem = f"has {size:,} bytes and should have {expected:,}"
                raise self.lost(record, problem, path)

    def verify(self, record: SealRecord) -> None:
        """Read the whole part. Raises MachineFault when it is not what was sealed.

        Arrow reads a flipped bit without a word, so this comes before a part's rows are used again.
        """
        part = self.part(record.block)
        with faults("read", part):
            found = sha256_of(part)
        if found != record.part_sha256:
            raise self.lost(record, "is damaged (its SHA-256 is not the one on record)")

    def lost(self, record: SealRecord, problem: str, path: Path | None = None) -> MachineFault:
        """The fault of a part (or of `path`, its keys) that cannot be used, and the ways on."""
        return MachineFault(
            f"{path or self.part(record.block)} {problem}: its {record.rows:,} rows (from row "
            f"{record.start:,}) were answered and paid for. Restore the file from a copy; to ask "
            f"these rows again, delete {self._record(record.block)} and what is left of the part"
        )


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    """Half a part helps nobody, least of all on a full disk."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's contents, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
