"""A CSV table as Excel can open it: no cell that it would run, none longer than it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.part_files import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"  # without it Excel reads UTF-8 as the machine's old code page
MOST_CHARS = 32_767  # of a cell, in UTF-16 units
# https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3, "Total number of
# characters that a cell can contain"
_NAMED = 20  # cut cells that are named; all are counted

# What begins a formula (owasp.org/www-community/attacks/CSV_Injection), numbers with a sign aside.
_FORMULA = r"^[=+\-@\t\r]"
_NUMBER = r"^[+-](\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


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
                cells = self._shortened(_harmless(cells), field.name, rows)
                table = table.set_column(position, field.name, cells)
        names = pa.array(table.schema.names, pa.string())
        return table.rename_columns(_harmless(names).to_pylist())

    def _shortened(self, cells: Any, column: str, rows: Any) -> Any:
        # A character has one UTF-16 unit or two.
        longest = pc.max(pc.utf8_length(cells)).as_py()
        if longest is None or longest <= MOST_CHARS // 2:
            return cells
        return pa.chunked_array([pa.array(self._cut(cells, column, rows), cells.type)])

    def _cut(self, cells: Any, column: str, rows: Any) -> Iterator[str | None]:
        for text, row in zip(cells.to_pylist(), rows.to_pylist(), strict=True):
            units = b"" if text is None else text.encode("utf-16-le")
            if len(units) <= 2 * MOST_CHARS:
                yield text
                continue
            self.cut_cells += 1
            if len(self.cut) < _NAMED:
                self.cut.append(CutCell(row, column, len(units) // 2))
            yield units[: 2 * MOST_CHARS].decode("utf-16-le", "ignore")


def _harmless(cells: Any) -> Any:
    """Texts, formulas among them as text."""
    risky = pc.and_not(
        pc.match_substring_regex(cells, _FORMULA), pc.match_substring_regex(cells, _NUMBER)
    )
    escaped = pc.binary_join_element_wise(
        pa.scalar("'", cells.type), cells, pa.scalar("", cells.type)
    )
    return pc.if_else(risky, escaped, cells)
