"""A CSV table as Excel can open it: no cell that it would run, none longer than it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from runner.part_files import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

_Text = TypeVar("_Text", str, str | None)

BOM = b"\xef\xbb\xbf"  # without it Excel reads UTF-8 as the machine's old code page
MOST_CHARS = 32_767  # of a cell, in UTF-16 units
# https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3, "Total number of
# characters that a cell can contain"
_NAMED = 20  # cut cells that are named; all are counted

# What begins a formula (owasp.org/www-community/attacks/CSV_Injection), numbers with a sign aside.
_FORMULA = frozenset("=+-@\t\r")
_NUMBER = re.compile(r"[+-]([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class CutCell:
    """A cell that was too long. Made here, named by the command."""

    row: int
    column: str
    chars: int  # that it had, in UTF-16 units


class ForExcel:
    """Makes tables harmless one after the other; `cut` and `cut_cells` tell what that cost."""

    def __init__(self, row_column: str) -> None:
        self._row_column = row_column
        self.cut: list[CutCell] = []  # the first of them
        self.cut_cells = 0

    def table(self, table: pa.Table) -> pa.Table:
        """The same rows; a text that would be a formula begins with an apostrophe."""
        table = flatten(table)
        rows = table[self._row_column]
        for position, field in enumerate(table.schema):
            cells = table.column(position)
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
                texts = self._shortened(_harmless(cells.to_pylist()), field.name, rows)
                cells = pa.chunked_array([pa.array(texts, field.type)])
                table = table.set_column(position, field.name, cells)
        return table.rename_columns(_harmless(table.schema.names))

    def _shortened(self, texts: list[str | None], column: str, rows: Any) -> list[str | None]:
        # A character has one UTF-16 unit or two.
        if all(text is None or len(text) <= MOST_CHARS // 2 for text in texts):
            return texts
        return list(self._cut(texts, column, rows))

    def _cut(self, texts: list[str | None], column: str, rows: Any) -> Iterator[str | None]:
        for text, row in zip(texts, rows.to_pylist(), strict=True):
            units = b"" if text is None else text.encode("utf-16-le")
            if len(units) <= 2 * MOST_CHARS:
                yield text
                continue
            self.cut_cells += 1
            if len(self.cut) < _NAMED:
                self.cut.append(CutCell(row, column, len(units) // 2))
            yield units[: 2 * MOST_CHARS].decode("utf-16-le", "ignore")


def _harmless(texts: list[_Text]) -> list[_Text]:
    """Texts, formulas among them as text. By hand: pyarrow.compute takes 9 MB of every run."""
    return [f"'{text}" if text and _is_formula(text) else text for text in texts]


def _is_formula(text: str) -> bool:
    return text[0] in _FORMULA and not _NUMBER.fullmatch(text)
