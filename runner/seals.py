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

from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from runner.counted import counted
from runner.damage import Damage
from runner.durable import (
    faults,
    fsync_folder,
    new_file,
    remove,
    removed_on_failure,
    rename,
    write_durable,
)
from runner.errors import MachineFault
from runner.hashed_file import HashedFile, sha256_of, sha256_over
from runner.part_files import TableWriter
from runner.seal_record import SealRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.job import Format
    from runner.tally import Tally

_KEY_BYTES = 16  # of a key, and of an id
_NONE = bytes(_KEY_BYTES)
_NO_HEX = _NONE.hex()
# Gathered by Arrow before Python is called. A part is some hundred small writes, and each would
# take the interpreter from the event loop.
_BUFFER_BYTES = 1 << 20


class Seals:
    """The sealed blocks of a run folder: their parts, records and keys."""

    def __init__(self, parts: Path, seals: Path, kind: Format) -> None:
        self.parts = parts
        self.seals = seals
        self.kind = kind

    def part(self, block: int) -> Path:
        """Where a block's part lies."""
        return self.parts / f"part-{block:05d}.{self.kind}"

    def record_path(self, block: int) -> Path:
        """Where a block's record lies."""
        return self.seals / f"{block:05d}.json"

    def _keys(self, block: int) -> Path:
        return self.seals / f"{block:05d}.keys"

    def _keys_of(self, block: int, *, waiting: bool) -> Path:
        keys = self._keys(block)
        next_keys = keys.with_suffix(".next.keys")
        return next_keys if waiting and next_keys.exists() else keys

    def blocks(self) -> list[int]:
        """The sealed blocks, in order; their parts are not looked at."""
        paths = self.seals.glob("[0-9]*.json")
        return sorted(int(path.stem) for path in paths if not path.name.endswith(".next.json"))

    def record(self, block: int, *, waiting: bool = False) -> SealRecord | None:
        """A block's record, or with `waiting` the one that will replace it; None: there is none.

        Its part is not looked at. Raises MachineFault when the record is damaged.
        """
        path = self.record_path(block)
        if waiting:
            path = path.with_suffix(".next.json")
        try:
            return _read(path)
        except MachineFault as fault:
            raise self.fault(_unreadable(block, path, fault)) from None

    def state(self, block: int) -> tuple[tuple[int, int, int] | None, ...]:
        """Changes whenever the block is sealed anew; equal states mean that nothing has moved."""
        paths = self.part(block), self._keys(block), self.record_path(block)
        return tuple(_identity(path) for path in paths)

    def packed_keys(self, record: SealRecord, *, waiting: bool = False) -> tuple[bytes, bytes]:
        """The request keys of a sealed block's rows, 16 bytes each, and their ids or nothing.

        With `waiting` those of a record that waits for its name; the keys are given theirs first.
        """
        path = self._keys_of(record.block, waiting=waiting)
        problem = _problem(path, _keys_bytes(record), record.keys_sha256 if waiting else None)
        if problem is not None:
            raise self.lost(record, problem, path)
        with faults("read", path):
            found = path.read_bytes()
        size = record.rows * _KEY_BYTES
        return found[:size], found[size:]

    def keys(self, record: SealRecord, *, waiting: bool = False) -> list[tuple[str, str]]:
        """Of each row of a sealed block, its request key and its id, as hex; "" where none is."""
        keys, ids = (_unpacked(one) for one in self.packed_keys(record, waiting=waiting))
        return list(zip(keys, ids or [""] * len(keys), strict=True))

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
        temporary = part.with_name(f".{part.name}.tmp")
        with faults("write", part), removed_on_failure(temporary):
            size, sha256 = self._write_part(temporary, tables)
            record = SealRecord(
                block, start, len(keys) // _KEY_BYTES, part.name, size, sha256, tally,
                unmetered or {}, keys_sha256=sha256_over(keys + ids), has_ids=bool(ids),
            )  # fmt: skip
            write_durable(self._keys(block).with_suffix(".next.keys"), keys + ids)
            write_durable(self.record_path(block).with_suffix(".next.json"), record.encode())
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
                writer: TableWriter | None = None
                for table in tables:
                    writer = writer or TableWriter(gathered, table.schema, self.kind)
                    writer.write(table)
                assert writer is not None  # noqa: S101 - a block has rows
                writer.close()
        return hashed.bytes, hashed.hexdigest()

    def _promote(self, block: int) -> None:
        keys, record = self._keys(block), self.record_path(block)
        # Keys first: a record is what makes them count.
        if keys.with_suffix(".next.keys").exists():
            rename(keys.with_suffix(".next.keys"), keys)
            fsync_folder(self.seals)  # or a power cut might keep the second rename alone
        rename(record.with_suffix(".next.json"), record)
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

    def records(self) -> dict[int, SealRecord]:
        """All sealed blocks. Raises MachineFault for one that is missing or has another size."""
        found, flaws = self.examine(verify=False)
        for flaw in flaws:
            raise self.fault(flaw)
        return found

    def examine(self, *, verify: bool) -> tuple[dict[int, SealRecord], list[Damage]]:
        """The sealed blocks that can be used, and what is wrong with others, in order of block.

        Sizes tell, or with `verify` the contents: every file is read to its end. A part whose
        record still waits for its name, after a crash, is as good as one with its record.
        """
        found: dict[int, SealRecord] = {}
        flaws: list[Damage] = []
        for block in sorted({*self.blocks(), *self.parts_there()}):
            one = self._examined(block, verify=verify)
            if isinstance(one, Damage):
                one = self._unfinished(block) or one
            if isinstance(one, Damage):
                flaws.append(one)
            else:
                found[block] = one
        return found, flaws

    def _examined(self, block: int, *, verify: bool) -> SealRecord | Damage:
        path = self.record_path(block)
        try:
            record = _read(path)
        except MachineFault as fault:
            return _unreadable(block, path, fault)
        if record is None:
            return self._without_record(block)
        return self._flaw(record, verify=verify) or record

    def _unfinished(self, block: int) -> SealRecord | None:
        """The waiting record that `mend` would promote, where it describes the part; else None."""
        try:
            record = _read(self.record_path(block).with_suffix(".next.json"))
        except MachineFault:  # cut off while it was written, so its part was not yet renamed
            return None
        if record is None or self._flaw(record, verify=True, waiting=True) is not None:
            return None
        return record

    def unrecorded(self, block: int) -> Damage | None:
        """What is wrong where a part lies without any record; None where that is not so."""
        waiting = self.record_path(block).with_suffix(".next.json")
        if self.record_path(block).exists() or waiting.exists() or not self.part(block).exists():
            return None
        return self._without_record(block)

    def _without_record(self, block: int) -> Damage:
        problem = f"has no record: {self.record_path(block)} is missing"
        return Damage(block, self.part(block), problem)

    def parts_there(self) -> list[int]:
        """The blocks that have a part, with a record or without."""
        parts = self.parts.glob(f"part-[0-9]*.{self.kind}")
        return [int(path.stem.removeprefix("part-")) for path in parts]

    def _flaw(self, record: SealRecord, *, verify: bool, waiting: bool = False) -> Damage | None:
        for path, expected, sha256 in (
            (self.part(record.block), record.part_bytes, record.part_sha256),
            (self._keys_of(record.block, waiting=waiting), _keys_bytes(record), record.keys_sha256),
        ):
            problem = _problem(path, expected, sha256 if verify else None)
            if problem is not None:
                return self.flaw(record, problem, path)
        return None

    def verify(self, record: SealRecord) -> None:
        """Read the whole part and its keys. Raises MachineFault when they are not what was sealed.

        Arrow reads a flipped bit without a word, so this comes before a part's rows are used again.
        """
        flaw = self._flaw(record, verify=True)
        if flaw is not None:
            raise self.fault(flaw)

    def flaw(self, record: SealRecord, problem: str, path: Path | None = None) -> Damage:
        """What is wrong with a sealed block's part, or with another file of it."""
        part = path or self.part(record.block)
        return Damage(record.block, part, problem, range(record.start, record.start + record.rows))

    def lost(self, record: SealRecord, problem: str, path: Path | None = None) -> MachineFault:
        """The fault of a part (or of `path`, its keys) that cannot be used, and the ways on."""
        return self.fault(self.flaw(record, problem, path))

    def fault(self, flaw: Damage) -> MachineFault:
        """The fault of a damaged block, and the ways on."""
        return MachineFault(f"{flaw}. {flaw.ways_on(self.seals.parent)}")

    def set_aside(self, block: int, place: Path) -> None:
        """Move whatever is left of a block below `place`, in its usual folders there.

        The record goes last: as long as it lies here, the block is known to be damaged.
        """
        with faults("set aside", self.part(block)):
            for path in (self.part(block), self._keys(block), self.record_path(block)):
                folder = place / path.parent.name
                folder.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    rename(path, folder / path.name)
                    fsync_folder(folder)
                    fsync_folder(path.parent)


def _keys_bytes(record: SealRecord) -> int:
    return record.rows * _KEY_BYTES * (2 if record.has_ids else 1)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _problem(path: Path, size: int, sha256: str | None) -> str | None:
    """What is wrong with a file that was sealed; without a hash its size alone tells."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"has {counted(found, 'byte')} and should have {size:,}"
        if sha256 is not None and sha256_of(path) != sha256:
            return "is damaged (its SHA-256 is not the one on record)"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def _read(path: Path) -> SealRecord | None:
    with suppress(FileNotFoundError):
        return SealRecord.read(path)
    return None


def _unreadable(block: int, path: Path, fault: MachineFault) -> Damage:
    return Damage(block, path, str(fault).removeprefix(f"{path} "))


def packed(texts: Iterable[str]) -> bytes:
    """Keys or ids, 32 hex digits each or "" for none, as a file of keys holds them."""
    return bytes.fromhex("".join([text or _NO_HEX for text in texts]))


def key_at(keys: bytes | bytearray, at: int) -> bytes:
    """A row's key, or its id; b"" where it has none."""
    piece = bytes(keys[at * _KEY_BYTES : (at + 1) * _KEY_BYTES])
    return piece if piece != _NONE else b""


def _unpacked(keys: bytes) -> list[str]:
    return [key_at(keys, at).hex() for at in range(len(keys) // _KEY_BYTES)]
