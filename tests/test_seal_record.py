"""A sealed block's record comes back as it was, or is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_results import any_result

from runner.errors import MachineFault
from runner.seal_record import SealRecord
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Result


def record_of(results: list[Result]) -> SealRecord:
    tally = Tally()
    for result in results:
        tally.add(result)
    unmetered = {one.row: one.unmetered_attempts for one in results if one.unmetered_attempts}
    return SealRecord(7, 700, len(results), "part-00007.csv", 9, "ab" * 32, tally, unmetered)


@given(results=st.lists(any_result(), max_size=5, unique_by=lambda result: result.row))
def test_a_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, results: list[Result]
) -> None:
    path = tmp_path_factory.mktemp("seals") / "00007.json"
    record = record_of(results)
    path.write_bytes(record.encode())
    assert SealRecord.read(path) == record


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"tally":3,"unmetered":{}}', b"\xff"])
def test_a_damaged_record_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "00007.json"
    path.write_bytes(text)
    with pytest.raises(MachineFault, match=r"00007\.json is damaged \("):
        SealRecord.read(path)


def test_a_record_cut_off_anywhere_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "00007.json"
    whole = record_of([]).encode()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(MachineFault, match="is damaged"):
            SealRecord.read(path)


def test_a_record_that_is_not_there_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SealRecord.read(tmp_path / "00007.json")
