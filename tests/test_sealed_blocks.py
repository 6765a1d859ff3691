"""What lies there of a sealed block, and every way in which it is not what was sealed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from one_block import BLOCK, OLD, START, seal, sealed, seals_in

from runner.errors import MachineFault

if TYPE_CHECKING:
    from pathlib import Path


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
