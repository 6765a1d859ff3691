from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.dataset import csv_records
from runner.dataset.csv_records import CsvFormat, CsvRecords
from runner.errors import DatasetError

if TYPE_CHECKING:
    from runner.dataset.csv_records import Record


def read(text: str, delimiter: str = ",") -> list[Record]:
    records = CsvRecords(io.StringIO(text, newline=""), delimiter=delimiter, path="p.csv")
    records.read_header()
    return list(records)


def cells(text: str, delimiter: str = ",") -> list[list[str] | None]:
    return [row for row, _, _ in read(text, delimiter)]


def flaws(text: str) -> list[str]:
    return [raw for row, raw, _ in read(text) if row is None]


def test_quotes_newlines_and_delimiters_inside_cells_are_text() -> None:
    assert cells('a,b\n"x, ""y""","1\n2\r\n3"\n') == [['x, "y"', "1\n2\r\n3"]]
    assert cells("a;b\n1,5;2\n", ";") == [["1,5", "2"]]


def test_every_kind_of_line_ending_ends_a_row() -> None:
    expected = [["1", "2"], ["3", "4"]]
    for ending in ("\n", "\r\n", "\r"):
        assert cells(ending.join(["a,b", "1,2", "3,4", ""])) == expected
        assert cells(ending.join(["a,b", "1,2", "3,4"])) == expected


def test_blank_lines_are_no_rows_but_empty_cells_are() -> None:
    assert cells("\n\na,b\n\n1,2\n \t \n,\n") == [["1", "2"], ["", ""]]
    assert cells('a\n\n   \n""\n" "\nx\n') == [[""], [" "], ["x"]]


def test_nothing_is_made_of_numbers_nulls_or_nul() -> None:
    assert cells("a,b,c\n007,NULL,x\0y\n") == [["007", "NULL", "x\0y"]]


def test_records_know_their_text_and_their_first_line() -> None:
    records = read('a,b\n1,"x\ny"\n\n3,4\n')
    assert [(raw, line) for _, raw, line in records] == [('1,"x\ny"\n', 2), ("3,4\n", 5)]


def test_a_ragged_row_stays_in_its_place_and_tells_line_counts_and_text() -> None:
    records = read("a,b\n1,2\n3\n4,5,6\n7,8\n")
    assert [row for row, _, _ in records] == [["1", "2"], None, None, ["7", "8"]]
    assert [raw for row, raw, _ in records if row is None] == [
        "line 3 of p.csv: expected 2 fields as in the header, found 1: 3",
        "line 4 of p.csv: expected 2 fields as in the header, found 3: 4,5,6",
    ]


def test_text_after_a_closing_quote_is_a_flaw_of_its_own_line() -> None:
    text = 'id,text\n1,hello\n2,"wor"ld"\n3,"x" y\n4,again\n'
    assert cells(text) == [["1", "hello"], None, None, ["4", "again"]]
    why = 'has text after a closing quote ("); a quote inside a quoted cell is written ""'
    assert flaws(text) == [
        f'line 3 of p.csv {why}: 2,"wor"ld"',
        f'line 4 of p.csv {why}: 3,"x" y',
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_spaces_after_a_closing_quote_are_kept_as_spreadsheets_do(
    delimiter: str, ending: str
) -> None:
    row = delimiter.join(['"x"" y"  ', 'pl"ain', "", '"1" '])
    head = delimiter.join("abcd")
    assert cells(f"{head}\n{row}{ending}", delimiter) == [['x" y  ', 'pl"ain', "", "1 "]]


def test_a_stray_quote_does_not_swallow_rows_up_to_the_next_quote_unnoticed() -> None:
    text = 'a,b\n1,"open\n2,x\n3,"y"\n4,z\n'
    assert cells(text) == [None, ["4", "z"]]
    (flaw,) = flaws(text)
    assert flaw == (
        'line 2 of p.csv has text after a closing quote ("); a quote inside a quoted cell is '
        'written ""; the row runs on to line 4: 1,"open\n2,x\n3,"y"'
    )


def test_a_quote_never_closed_costs_its_own_line_only() -> None:
    text = 'a,b\n1,x\n2,"open\n3,y\n4,z'
    assert cells(text) == [["1", "x"], None, ["3", "y"], ["4", "z"]]
    assert flaws(text) == ['line 3 of p.csv opens a quote (") that is not closed: 2,"open']
    assert [line for _, _, line in read(text)] == [2, 3, 4, 5]


def test_text_after_a_quote_and_another_quote_left_open_is_a_flaw() -> None:
    assert cells('a,b\n"1"x,"y\n2,z\n') == [None, ["2", "z"]]


def test_a_quote_not_closed_within_the_limit_gives_back_what_it_swallowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_records, "MAX_LINE_BYTES", 1000)
    rows = "".join(f"{n},x\n" for n in range(3000))
    text = f'a,b\n"open,1\n{rows}'
    found = cells(text)
    assert found[0] is None
    assert found[1:] == [[str(n), "x"] for n in range(3000)]
    assert "that is not closed within 0 MB" in flaws(text)[0]


def test_a_line_above_the_limit_is_a_flaw_and_never_held_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_records, "MAX_LINE_BYTES", 1000)
    text = "a,b\n1,x\n2," + "y" * 10_000 + "\n3,z\n"
    assert cells(text) == [["1", "x"], None, ["3", "z"]]
    (flaw,) = flaws(text)
    assert flaw.startswith("line 3 of p.csv is longer than")
    assert len(flaw) < 1200


def test_a_cell_of_five_megabytes_is_a_cell() -> None:
    huge = "x" * 5_000_000
    assert cells(f'a,b\n1,"{huge}"\n2,y\n') == [["1", huge], ["2", "y"]]


def test_a_header_with_an_open_quote_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"line 1 of p\.csv opens a quote"):
        read('a,"b\n1,2\n')


def test_an_unknown_encoding_names_the_flag() -> None:
    for name in ("utf-99", "rot13", "base64", "x\0y"):
        with pytest.raises(DatasetError, match=r"--csv-encoding .*: there is no such encoding"):
            CsvFormat.of(",", name)
    assert CsvFormat.of(",", "UTF-8-SIG").encoding == CsvFormat.of(",", "U8").encoding == "utf-8"


CELL = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",;\t\r\n \0'))


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_is_read_back(
    rows: list[list[str]], delimiter: str, ending: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow([f"c{at}" for at in range(len(rows[0]))])
    writer.writerows(rows)
    assert cells(out.getvalue(), delimiter) == rows


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(st.sampled_from('ab",\r\n \t'), max_size=40))
def test_no_text_whatever_raises_or_loses_a_line(text: str) -> None:
    found = read("x,y\n" + text)
    lines = [line for _, _, line in found]
    assert lines == sorted(set(lines))
    for row, raw, _ in found:
        assert row is None or len(row) == 2
        assert raw
