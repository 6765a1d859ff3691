"""What has been sealed, and is it still as it was? Records, keys and parts as they lie there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from runner.counted import counted
from runner.damage import Damage
from runner.durable import faults
from runner.errors import MachineFault
from runner.hashed_file import sha256_of
from runner.seal_record import SealRecord
from runner.seals.keys import KEY_BYTES, unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from runner.job import Format


class SealedBlocks:
    """The sealed blocks of a run folder, read without changing anything."""

    def __init__(self, parts: Path, seals: Path, kind: Format) -> None:
        self.parts = parts
        self.seals = seals
        self.kind = kind

    def part(self, block: int) -> Path:
        """Where a block's part lies."""
        return self.parts / f"part-{block:05d}.{self.kind}"

    def record_path(self, block: int, *, waiting: bool = False) -> Path:
        """Where a block's record lies, or with `waiting` the one that will replace it."""
        return self.seals / f"{block:05d}{'.next' if waiting else ''}.json"

    def keys_path(self, block: int, *, waiting: bool = False) -> Path:
        """The same for its keys."""
        return self.seals / f"{block:05d}{'.next' if waiting else ''}.keys"

    def _keys_of(self, block: int, *, waiting: bool) -> Path:
        next_keys = self.keys_path(block, waiting=True)
        return next_keys if waiting and next_keys.exists() else self.keys_path(block)

    def blocks(self) -> list[int]:
        """The sealed blocks, in order; their parts are not looked at."""
        paths = self.seals.glob("[0-9]*.json")
        return sorted(int(path.stem) for path in paths if not path.name.endswith(".next.json"))

    def parts_there(self) -> list[int]:
        """The blocks that have a part, with a record or without."""
        parts = self.parts.glob(f"part-[0-9]*.{self.kind}")
        return [int(path.stem.removeprefix("part-")) for path in parts]

    def record(self, block: int, *, waiting: bool = False) -> SealRecord | None:
        """A block's record, or with `waiting` the one that will replace it; None: there is none.

        Its part is not looked at. Raises MachineFault when the record is damaged.
        """
        path = self.record_path(block, waiting=waiting)
        try:
            return _read(path)
        except MachineFault as fault:
            raise self.fault(_unreadable(block, path, fault)) from None

    def state(self, block: int) -> tuple[tuple[int, int, int] | None, ...]:
        """Changes whenever the block is sealed anew; equal states mean that nothing has moved."""
        paths = self.part(block), self.keys_path(block), self.record_path(block)
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
        size = record.rows * KEY_BYTES
        return found[:size], found[size:]

    def keys(self, record: SealRecord, *, waiting: bool = False) -> list[tuple[str, str]]:
        """Of each row of a sealed block, its request key and its id, as hex; "" where none is."""
        keys, ids = (unpacked(one) for one in self.packed_keys(record, waiting=waiting))
        return list(zip(keys, ids or [""] * len(keys), strict=True))

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
            record = _read(self.record_path(block, waiting=True))
        except MachineFault:  # cut off while it was written, so its part was not yet renamed
            return None
        if record is None or self._flaw(record, verify=True, waiting=True) is not None:
            return None
        return record

    def unrecorded(self, block: int) -> Damage | None:
        """What is wrong where a part lies without any record; None where that is not so."""
        waiting = self.record_path(block, waiting=True)
        if self.record_path(block).exists() or waiting.exists() or not self.part(block).exists():
            return None
        return self._without_record(block)

    def _without_record(self, block: int) -> Damage:
        problem = f"has no record: {self.record_path(block)} is missing"
        return Damage(block, self.part(block), problem)

    def _flaw(self, record: SealRecord, *, verify: bool, waiting: bool = False) -> Damage | None:
        for path, expected, sha256 in (
            (self.part(record.block), record.part_bytes, record.part_sha256),
            (self._keys_of(record.block, waiting=waiting), _keys_bytes(record), record.keys_sha256),
        ):
            problem = _problem(path, expected, sha256 if verify else None)
            if problem is not None:
                return self._damage(record, problem, path)
        return None

    def verify(self, record: SealRecord) -> None:
        """Read the whole part and its keys. Raises MachineFault when they are not what was sealed.

        Arrow reads a flipped bit without a word, so this comes before a part's rows are used again.
        """
        flaw = self._flaw(record, verify=True)
        if flaw is not None:
            raise self.fault(flaw)

    def _damage(self, record: SealRecord, problem: str, path: Path | None = None) -> Damage:
        """What is wrong with a sealed block's part, or with another file of it."""
        part = path or self.part(record.block)
        return Damage(record.block, part, problem, range(record.start, record.start + record.rows))

    def lost(self, record: SealRecord, problem: str, path: Path | None = None) -> MachineFault:
        """The fault of a part (or of `path`, its keys) that cannot be used, and the ways on."""
        return self.fault(self._damage(record, problem, path))

    def fault(self, flaw: Damage) -> MachineFault:
        """The fault of a damaged block, and the ways on."""
        return MachineFault(f"{flaw}. {flaw.ways_on(self.seals.parent)}")


def _keys_bytes(record: SealRecord) -> int:
    return record.rows * KEY_BYTES * (2 if record.has_ids else 1)


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
