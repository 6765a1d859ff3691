"""A block's journal file as it is read: whole, torn, damaged, renamed, or gone meanwhile."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from some_results import some_bill, some_result

from runner.journal import (
    brought_up_to_date,
    encode_line,
    entries_of,
    look_into,
    path_of,
    read_journals,
)

if TYPE_CHECKING:
    import pytest

    from runner.journal import Entry
    from runner.records import Result

ROWS_A_BLOCK = 100


def write(folder: Path, *entries: Entry) -> None:
    """Lines as the journal appends them."""
    for entry in entries:
        with path_of(folder, entry.row // ROWS_A_BLOCK).open("ab") as file:
            file.write(encode_line(entry))


def found_in(folder: Path, *, mend: bool = True) -> dict[int, Result]:
    return {
        row: one
        for file in read_journals(folder, ROWS_A_BLOCK, mend=mend)
        for row, one in file.results.items()
    }


def test_a_file_that_is_sealed_as_a_reader_opens_it_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, some_result(3), some_result(100))
    real = Path.open

    def sealed_first(path: Path, *args: Any) -> Any:
        if path.name == "00000.jsonl":
            path.unlink()
        return real(path, *args)

    monkeypatch.setattr(Path, "open", sealed_first)
    assert list(found_in(tmp_path, mend=False)) == [100]


def test_of_two_results_of_a_row_the_later_one_holds(tmp_path: Path) -> None:
    write(tmp_path, some_result(completion="first"), some_result(completion="second"))
    assert found_in(tmp_path)[0].completion == "second"


def test_a_torn_last_line_costs_its_own_row_alone(tmp_path: Path) -> None:
    write(tmp_path, *map(some_result, range(3)))
    path = tmp_path / "00000.jsonl"
    whole = path.read_bytes()
    last = encode_line(some_result(2))
    for length in range(len(last)):
        path.write_bytes(whole[: len(whole) - len(last) + length])
        assert look_into(tmp_path, 0, ROWS_A_BLOCK).keys() == {0, 1}
        assert path.stat().st_size == len(whole) - len(last) + length, "a reader changes nothing"
        assert found_in(tmp_path).keys() == {0, 1}
        assert path.read_bytes() == whole[: len(whole) - len(last)]
    write(tmp_path, some_result(2))
    assert path.read_bytes() == whole


def test_a_damaged_line_is_named_and_the_others_survive(tmp_path: Path) -> None:
    write(tmp_path, *map(some_result, range(5)))
    path = tmp_path / "00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"answer 1", b"answer 7"))
    (file,) = read_journals(tmp_path, ROWS_A_BLOCK, mend=True)
    assert (file.damaged_lines, sorted(file.results)) == ([2], [0, 2, 3, 4])


@given(st.data())
def test_a_changed_byte_in_a_file_never_makes_a_wrong_result(data: st.DataObject) -> None:
    written = {row: some_result(row) for row in range(4)}
    content = bytearray(b"".join(map(encode_line, written.values())))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        (Path(folder) / "00000.jsonl").write_bytes(content)
        found = look_into(Path(folder), 0, ROWS_A_BLOCK)
    assert found.items() <= written.items()
    assert len(found) >= 2, "a line, or two where the newline between them is gone"


def test_a_block_without_a_file_holds_nothing(tmp_path: Path) -> None:
    assert look_into(tmp_path, 7, ROWS_A_BLOCK) == {}


def test_a_bill_holds_until_the_row_has_a_result(tmp_path: Path) -> None:
    write(tmp_path, some_bill(1), some_bill(1, attempts=3), some_bill(2))
    assert entries_of(tmp_path, 0, ROWS_A_BLOCK) == (
        {},
        {1: some_bill(1, attempts=3), 2: some_bill(2)},
    )
    write(tmp_path, some_result(1), some_result(2), some_bill(2, attempts=9))
    results, bills = entries_of(tmp_path, 0, ROWS_A_BLOCK)
    assert results == {1: some_result(1), 2: some_result(2)}
    assert bills == {2: some_bill(2, attempts=9)}, "it was asked again after its result"
    later = brought_up_to_date(results, bills)
    assert later[1] == some_result(1)
    assert (later[2].attempts, later[2].cost) == (9, some_bill().cost)
    assert later[2].completion == "answer 2"


def test_a_file_renamed_to_another_blocks_number_is_no_result_of_that_block(tmp_path: Path) -> None:
    lines = map(encode_line, (some_result(0), some_result(ROWS_A_BLOCK)))
    path = tmp_path / "00001.jsonl"
    path.write_bytes(encode_line(some_bill(1)) + b"".join(lines))
    (file,) = read_journals(tmp_path, ROWS_A_BLOCK, mend=True)
    assert (list(file.results), file.bills) == ([ROWS_A_BLOCK], {})
    assert file.flaws() == []
    flaw = file.astray()
    assert flaw is not None
    assert str(flaw).startswith(f"{path} holds results of other blocks, from row 1 on, and seems")
    assert flaw.remedy == f"give it back its name ({tmp_path / '00000.jsonl'})"
    assert (flaw.block, flaw.count) == (1, 2)
