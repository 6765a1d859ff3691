"""Fill a plain prompt for many rows at once, column by column: texts instead of requests.

For whoever needs the texts alone, such as a count of their tokens: a body costs ten times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.template.render import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.template.render import Plain


@dataclass(frozen=True, slots=True)
class ByColumn:
    """Where requests differ in one text alone. Made by `compile_template`, consumed by `estimate`.

    `fill` gives that text for every row, and it is the one in the request that the template makes.
    """

    plain: Plain

    def fill(self, cells: Mapping[str, Sequence[Any]]) -> list[str] | None:
        """The prompts of rows by their column-wise cells.

        None where one of them may be no request, or is better left to the template itself.
        """
        literals, names = self.plain.literals, self.plain.columns
        try:
            columns = [_texts(cells[name]) for name in names]
            if len(columns) == 1:
                first, last = literals
                texts = [first + cell + last for cell in columns[0]]
            else:
                between = "{}".join(text.replace("{", "{{").replace("}", "}}") for text in literals)
                texts = [between.format(*row) for row in zip(*columns, strict=True)]
            "".join(texts).encode()
        except (TypeError, UnicodeError):
            return None
        if not any(text and not text.isspace() for text in literals) and not all(
            text and not text.isspace() for text in texts
        ):
            return None
        return texts


def _texts(cells: Sequence[Any]) -> Sequence[str]:
    """What each cell is in a prompt. Raises TypeError for lists and objects, UnicodeError."""
    if all(type(cell) is str for cell in cells):
        return cells
    return [cell if type(cell) is str else _text(cell) for cell in cells]


def _text(cell: object) -> str:
    if isinstance(cell, list | dict):
        raise TypeError(cell)
    return str(as_text(cell))
