"""Which type does a JSONL column have, and does a value fit it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXACT = 1 << 53  # a float64 tells all whole numbers up to here apart
_LONG = 1 << 63
_NONE = type(None)
_PYTHON_TYPES: dict[pa.DataType, set[type]] = {
    pa.int64(): {int, _NONE},
    pa.float64(): {int, float, _NONE},
    pa.bool_(): {bool, _NONE},
}


class ColumnTypes:
    """Learns each column's type from objects."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}

    def add(self, item: Mapping[str, Any]) -> None:
        """Learn from one more object."""
        for name, value in item.items():
            kinds = self._kinds.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))

    def found(self) -> dict[str, pa.DataType]:
        """The types by column, in order of appearance."""
        return {name: _resolve(kinds) for name, kinds in self._kinds.items()}


def to_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any] | None:
    """The values as a column of that type; None where one does not fit.

    In a text column text stays itself, and anything else becomes its JSON text.
    """
    found = set(map(type, values))
    if kind not in _PYTHON_TYPES:
        if not found <= {str, _NONE}:
            values = [_text(value) for value in values]
        return pa.array(values, kind)
    # checked here, for pyarrow cuts 1.5 to an int64 of 1 without a word
    if found <= _PYTHON_TYPES[kind]:
        try:
            return pa.array(values, kind)
        except (OverflowError, pa.ArrowInvalid):
            return None
    return None


def unfit(values: Sequence[Any], kind: pa.DataType) -> list[int]:
    """The offsets of the values that do not fit the type."""
    return [at for at, value in enumerate(values) if to_array([value], kind) is None]


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int) and -_LONG <= value < _LONG:
        return "int" if abs(value) <= _EXACT else "long"
    return "other"


def _resolve(kinds: set[str]) -> pa.DataType:
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds and kinds <= {"int", "long"}:
        return pa.int64()
    if kinds and kinds <= {"int", "float"}:
        return pa.float64()
    return pa.string()
