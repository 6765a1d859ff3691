"""A block becomes a part, in steps of which each may be the last one."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, get_args

import orjson
import pyarrow as pa
import pytest
from crash import Crash, Killed
from some_results import KEY, some_failure, some_result

from runner.errors import MachineFault
from runner.job import Format
from runner.output import assemble, result_schema, results_of
from runner.part_files import read_columns
from runner.seal_record import SealRecord
from runner.sealing import seal_block
from runner.seals import Seals
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Result

BLOCK, START = 7, 700
OLD = [some_failure(START), some_result(START + 1, key="")]
NEW = [some_result(START, completion="newer", unmetered_attempts=1), OLD[1]]


def seals_in(folder: Path, kind: Format = "parquet") -> Seals:
    for name in ("completions", "seals"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    return Seals(folder / "completions", folder / "seals", kind)


def seal(seals: Seals, results: list[Result]) -> SealRecord:
    return seal_block(seals, BLOCK, [], results, result_schema(""), "")


def sealed(seals: Seals) -> list[Result]:
    """What the one sealed block holds, its part verified; [] when there is none."""
    records = seals.records()
    if not records:
        return []
    (record,) = records.values()
    seals.verify(record)
    table = read_columns(seals.part(BLOCK), seals.kind, result_schema(""))
    return list(results_of(table, "", seals.keys(record), record.unmetered))


def dies(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, after: int) -> bool:
    """Whether the process dies while it does this, with so many calls to the disk left."""
    with monkeypatch.context() as patch:
        crash = Crash(patch, after=after)
        with suppress(Killed):
            work()
    return crash.happened


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/*"))


@pytest.mark.parametrize("kind", get_args(Format))
def test_a_sealed_block_is_a_part_its_keys_and_its_record(tmp_path: Path, kind: Format) -> None:
    seals = seals_in(tmp_path, kind)
    record = seal(seals, OLD)
    assert names(tmp_path) == ["00007.json", "00007.keys", f"part-00007.{kind}"]
    content = seals.part(BLOCK).read_bytes()
    assert record.part_bytes == len(content)
    assert record.part_sha256 == hashlib.sha256(content).hexdigest()
    assert (record.block, record.start, record.rows) == (BLOCK, START, 2)
    assert (record.tally.failed, record.tally.total_tokens) == (1, 40)
    assert seals.records() == {BLOCK: record}
    assert SealRecord.read(tmp_path / "seals" / "00007.json") == record
    assert seals.keys(record) == [(KEY, ""), ("", "")]
    assert sealed(seals) == OLD


@pytest.mark.parametrize("before", [[], OLD], ids=["sealed", "sealed anew"])
def test_a_crash_at_any_step_leaves_the_old_part_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[Result]
) -> None:
    states = []
    survived = False
    for after in range(100):
        folder = tmp_path / str(after)
        seals = seals_in(folder)
        if before:
            seal(seals, before)
        survived = not dies(partial(seal, seals, NEW), monkeypatch, after=after)
        again = seals_in(folder)
        again.mend()
        found = sealed(again)
        assert found in (before, NEW)
        whole = ["00007.json", "00007.keys", "part-00007.parquet"]
        assert names(folder) == (whole if found else [])
        states.append(found)
        if survived:
            break
    assert survived
    assert states[0] == before
    assert states == sorted(states, key=lambda found: found == NEW), "there is no way back"
    assert len(states) > 10, "so many steps there are at least"


@pytest.mark.parametrize("before", [[], OLD], ids=["sealed", "sealed anew"])
def test_a_crash_while_mending_is_mended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[Result]
) -> None:
    for first, second in itertools.product(range(12), range(5)):
        seals = seals_in(tmp_path / f"{first}-{second}")
        if before:
            seal(seals, before)
        dies(partial(seal, seals, NEW), monkeypatch, after=first)
        dies(seals.mend, monkeypatch, after=second)
        seals.mend()
        assert sealed(seals) in (before, NEW)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_record_cut_off_while_it_was_written_is_dropped(tmp_path: Path, length: int) -> None:
    seals = seals_in(tmp_path)
    record = seal(seals, OLD)
    (tmp_path / "seals" / "00007.next.json").write_bytes(record.encode()[:length])
    (tmp_path / "seals" / "00007.next.keys").write_bytes(b"half")
    seals.mend()
    assert names(tmp_path) == ["00007.json", "00007.keys", "part-00007.parquet"]
    assert sealed(seals) == OLD


FULL_DISK = """
import resource, sys
from pathlib import Path
from test_seals import NEW, seal, seals_in
from runner.errors import MachineFault
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    seal(seals_in(Path(sys.argv[1]), sys.argv[3]), NEW)
except MachineFault as fault:
    print(fault)
"""


@pytest.mark.parametrize("kind", get_args(Format))
@pytest.mark.parametrize("most_bytes", [0, 10, 500])
def test_a_part_that_finds_no_room_leaves_the_old_one(
    tmp_path: Path, kind: Format, most_bytes: int
) -> None:
    seals = seals_in(tmp_path, kind)
    seal(seals, OLD)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(most_bytes), kind],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    assert f"cannot write {seals.part(BLOCK)}: a file-size limit (ulimit -f)" in done.stdout
    assert not done.stderr
    assert names(tmp_path) == ["00007.json", "00007.keys", f"part-00007.{kind}"]
    assert sealed(seals) == OLD


@pytest.mark.parametrize("name", ["completions/part-00007.parquet", "seals/00007.keys"])
def test_what_is_missing_or_has_another_size_is_named(tmp_path: Path, name: str) -> None:
    seals = seals_in(tmp_path)
    seal(seals, OLD)
    path = tmp_path / name
    content = path.read_bytes()
    for damage, problem in ((content[:-1], "has"), (content + b"x", "has"), (None, "is missing")):
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(MachineFault) as fault:
            seals.records()
        assert str(fault.value).startswith(f"{path} {problem}")
        assert "its 2 rows (from row 700) were answered and paid for" in str(fault.value)
        assert f"penstock resume {tmp_path} --accept-changes" in str(fault.value)
    path.write_bytes(content)
    assert sealed(seals) == OLD


def test_a_flipped_bit_in_a_part_is_found(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    record = seal(seals, OLD)
    content = bytearray(seals.part(BLOCK).read_bytes())
    content[len(content) // 3] ^= 4
    seals.part(BLOCK).write_bytes(content)
    assert seals.records() == {BLOCK: record}, "its size is right"
    with pytest.raises(MachineFault, match=r"part-00007\.parquet is damaged"):
        seals.verify(record)


def test_a_damaged_record_is_told_at_the_start(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    seal(seals, OLD)
    (tmp_path / "seals" / "00007.json").write_bytes(b"{")
    with pytest.raises(MachineFault, match=r"00007\.json is damaged .*: the rows of block 7"):
        seals.records()


def test_a_part_whose_record_is_gone_is_told_and_not_overwritten(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    seal(seals, OLD)
    (tmp_path / "seals" / "00007.json").unlink()
    with pytest.raises(MachineFault, match=r"part-00007\.parquet has no record: .*00007\.json"):
        seals.records()


def test_a_flipped_bit_in_the_keys_is_found(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    record = seal(seals, OLD)
    path = tmp_path / "seals" / "00007.keys"
    path.write_bytes(b"\x00" + path.read_bytes()[1:])
    assert seals.examine(verify=False) == ({BLOCK: record}, [])
    with pytest.raises(MachineFault, match=r"00007\.keys is damaged"):
        seals.verify(record)
    (flaw,) = seals.examine(verify=True)[1]
    assert (flaw.block, flaw.path, flaw.rows) == (BLOCK, path, range(START, START + 2))


def test_what_is_set_aside_keeps_its_files_and_leaves_no_block(tmp_path: Path) -> None:
    seals = seals_in(tmp_path / "run")
    seal(seals, OLD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*/*")}
    seals.set_aside(BLOCK, tmp_path / "aside")
    assert seals.examine(verify=True) == ({}, [])
    assert {path.name: path.read_bytes() for path in (tmp_path / "aside").glob("*/*")} == before


def test_ids_lie_behind_the_keys_where_rows_have_any(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    ids = ["ab" * 16, ""]
    keys = [one.key for one in OLD]
    record = seal(seals, [replace(one, row_id=ids[at]) for at, one in enumerate(OLD)])
    assert record.has_ids
    assert seals.records() == {BLOCK: record}
    assert seals.keys(record) == list(zip(keys, ids, strict=True))
    assert seals.packed_keys(record)[1] == b"\xab" * 16 + bytes(16)


def test_a_record_of_the_first_layout_is_read(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    seal(seals, OLD)
    path = tmp_path / "seals" / "00007.json"
    data = orjson.loads(path.read_bytes())
    del data["keys_sha256"], data["has_ids"], data["crc"]
    path.write_bytes(orjson.dumps(data))
    assert sealed(seals) == OLD


def test_a_block_of_several_tables_is_one_part(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    tables = [assemble([], [one], result_schema(""), "") for one in OLD]
    seals.seal(BLOCK, START, tables, bytes(32), Tally())
    part = read_columns(seals.part(BLOCK), "parquet", result_schema(""))
    assert part["row"].to_pylist() == [700, 701]
    assert pa.types.is_int64(part["row"].type)
