"""Cells that Excel would run, or could not hold."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.for_excel import MOST_CHARS, ForExcel


def made(*cells: str | None, column: str = "text") -> list[str | None]:
    table = pa.table({"row": range(len(cells)), column: pa.array(cells, pa.string())})
    found: list[str | None] = ForExcel("row").table(table)[1].to_pylist()
    return found


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+49 30 1234", "-x", "@SUM(A1)", "\tx", "\r=1", "-1+cmd|' /C calc'!A0", "=", "-"],
)
def test_what_begins_a_formula_begins_with_an_apostrophe(cell: str) -> None:
    assert made(cell) == ["'" + cell]


@pytest.mark.parametrize(
    "cell", ["", "text", "1-2", "-12.5", "+3", "-1e-5", "-.5", "'=1", " =1", None]
)
def test_other_texts_and_plain_numbers_stay_what_they_are(cell: str | None) -> None:
    assert made(cell) == [cell]


def test_columns_of_numbers_are_untouched() -> None:
    table = pa.table({"row": [0], "n": [-5], "x": [-0.5], "none": pa.nulls(1, pa.int64())})
    assert ForExcel("row").table(table).equals(table)


def test_a_columns_name_is_a_cell_too() -> None:
    table = pa.table({"row": [0], "=cmd": ["x"]})
    assert ForExcel("row").table(table).schema.names == ["row", "'=cmd"]


def test_a_cell_too_long_is_cut_and_named() -> None:
    long, wide = "x" * (MOST_CHARS + 1), "\U0001f600" * (MOST_CHARS // 2 + 1)
    safe = ForExcel("row")
    rows = pa.table({"row": [7, 8, 9], "text": [long, "=" + "x" * (MOST_CHARS - 1), wide]})
    cut = safe.table(rows)["text"].to_pylist()
    assert [len(str(text).encode("utf-16-le")) // 2 for text in cut] == [
        MOST_CHARS, MOST_CHARS, MOST_CHARS - 1
    ]  # fmt: skip
    assert [(one.row, one.column, one.chars) for one in safe.cut] == [
        (7, "text", MOST_CHARS + 1), (8, "text", MOST_CHARS + 1), (9, "text", MOST_CHARS + 1)
    ]  # fmt: skip
    assert made("x" * MOST_CHARS) == ["x" * MOST_CHARS]


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    safe = ForExcel("row")
    for _ in range(3):
        safe.table(pa.table({"row": range(10), "text": ["x" * 40_000] * 10}))
    assert (len(safe.cut), safe.cut_cells) == (20, 30)


@given(st.lists(st.none() | st.text(max_size=9), max_size=5))
def test_no_text_is_left_that_could_be_run_and_none_is_lost(cells: list[str | None]) -> None:
    for before, after in zip(cells, made(*cells), strict=True):
        assert after in {before, f"'{before}"}
        if after and after[0] in "=+-@\t\r":
            float(after)
