"""A block becomes a part, in steps of which each may be the last one."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, get_args

import pyarrow as pa
import pytest
from crash import Crash, Killed
from one_block import BLOCK, NEW, OLD, START, names, seal, sealed, seals_in
from some_results import KEY

from runner.job import Format
from runner.output import assemble, result_schema
from runner.part_files import read_columns
from runner.seal_record import SealRecord
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Result


def dies(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, after: int) -> bool:
    """Whether the process dies while it does this, with so many calls to the disk left."""
    with monkeypatch.context() as patch:
        crash = Crash(patch, after=after)
        with suppress(Killed):
            work()
    return crash.happened


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
from one_block import NEW, seal, seals_in
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


def test_what_is_set_aside_keeps_its_files_and_leaves_no_block(tmp_path: Path) -> None:
    seals = seals_in(tmp_path / "run")
    seal(seals, OLD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*/*")}
    seals.set_aside(BLOCK, tmp_path / "aside")
    assert seals.examine(verify=True) == ({}, [])
    assert {path.name: path.read_bytes() for path in (tmp_path / "aside").glob("*/*")} == before


def test_a_block_of_several_tables_is_one_part(tmp_path: Path) -> None:
    seals = seals_in(tmp_path)
    tables = [assemble([], [one], result_schema(""), "") for one in OLD]
    seals.seal(BLOCK, START, tables, bytes(32), Tally())
    part = read_columns(seals.part(BLOCK), "parquet", result_schema(""))
    assert part["row"].to_pylist() == [700, 701]
    assert pa.types.is_int64(part["row"].type)
