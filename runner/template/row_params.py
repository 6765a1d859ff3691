"""The parameters and the model that a row brings along in columns: `[params.from_columns]`.

A null or blank cell brings nothing: what the job says for all rows holds then, if it says anything.
"""

from __future__ import annotations

from decimal import Decimal
from math import isinf, isnan
from typing import TYPE_CHECKING, Any, Final

import orjson

from runner.errors import FailsRow, JobError
from runner.template.messages import drop_nulls
from runner.template.render import list_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    # model, parameters -> why the provider would refuse them
    Check = Callable[[str, Mapping[str, Any]], str | None]

_MODEL: Final = "model"
# Whole numbers up to here are the same as float and as integer (a column of integers with gaps is
# one of floats in many a file, and the provider wants 256, not 256.0).
_EXACT: Final = 2.0**53
# Different combinations that are remembered as allowed or refused. Columns with few values are
# judged once; for columns with as many values as rows this bounds the memory.
_REMEMBERED: Final = 4096


class RowParams:
    """Reads a row's own parameters. Made by `compile_template` where the job names columns."""

    def __init__(
        self,
        sources: Mapping[str, str],  # parameter -> column
        fixed: Mapping[str, Any],  # of every row
        check: Check | None,
    ) -> None:
        self.columns = frozenset(sources.values())
        self.describe = ", ".join(f"{name} ({column})" for name, column in sources.items())
        self._model_column = sources.get(_MODEL)
        self._sources = [pair for pair in sources.items() if pair[0] != _MODEL]
        self._fixed = fixed
        self._overlap = any(name in fixed for name in sources)
        self._fixed_json = orjson.dumps(fixed)[1:-1]  # without its braces
        self._check = check
        self._judged: dict[tuple[str, bytes], str | None] = {}

    def model(self, cells: Mapping[str, Any]) -> str | None:
        """The model that the row names; None: it names none. Raises FailsRow: "bad_request"."""
        if self._model_column is None:
            return None
        cell = cells.get(self._model_column)
        if cell is None:
            return None
        if not isinstance(cell, str):
            raise _fail(_MODEL, self._model_column, f"{cell!r} is no model's name")
        return cell.strip() or None

    def values(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """The row's own parameters, in the job's order. Raises FailsRow: "bad_request"."""
        found = {}
        for name, column in self._sources:
            cell = cells.get(column)
            if cell is not None:
                value = _read(cell, name, column)
                if value is not None:
                    found[name] = value
        return found

    def tail(self, model: str, values: dict[str, Any]) -> bytes:
        """The end of the row's body: all its parameters, brace included, known to be allowed.

        Raises FailsRow: "bad_request".
        """
        try:
            if self._overlap or not self._fixed:
                merged = {**self._fixed, **values}
                tail = b"," + orjson.dumps(merged)[1:] if merged else b"}"
            else:
                own = orjson.dumps(values)[1:] if values else b"}"
                tail = b"," + self._fixed_json + (b"," if values else b"") + own
        except TypeError as error:
            told = f"a parameter cannot be written as JSON: {error}"
            raise FailsRow("bad_request", told) from None
        if self._check is not None:
            self._judge(model, tail, values)
        return tail

    def refuse(self, model: str, params: Mapping[str, Any]) -> None:
        """Raise FailsRow ("bad_request") if the provider would refuse these parameters."""
        if self._check is not None and (refusal := self._check(model, params)) is not None:
            raise FailsRow("bad_request", refusal)

    def _judge(self, model: str, tail: bytes, values: Mapping[str, Any]) -> None:
        key = (model, tail)
        refusal = self._judged.get(key, "")
        if refusal == "":
            assert self._check is not None  # noqa: S101 - the caller asked
            refusal = self._check(model, {**self._fixed, **values})
            if len(self._judged) >= _REMEMBERED:
                self._judged.clear()
            self._judged[key] = refusal
        if refusal is not None:
            raise FailsRow("bad_request", refusal)


def compile_row_params(
    sources: Mapping[str, str],
    fixed: Mapping[str, Any],
    columns: Sequence[str],
    check: Check | None,
) -> RowParams | None:
    """The reader of the columns that the job names; None where it names none.

    Raises JobError for a column that the dataset does not have.
    """
    if not sources:
        return None
    flaws = [
        f"params.from_columns, {name}: the dataset has no column {column!r}. Its columns: "
        f"{list_columns(columns)}"
        for name, column in sources.items()
        if column not in columns
    ]
    if flaws:
        raise JobError("\n".join(flaws))
    return RowParams(sources, fixed, check)


def _read(cell: Any, name: str, column: str) -> Any:
    """A cell as the parameter's value: text as JSON, where it is, else as text; None: nothing."""
    if isinstance(cell, bytes):
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            raise _fail(name, column, "the cell holds bytes that are not UTF-8 text") from None
    if isinstance(cell, str):
        if not cell or cell.isspace():
            return None
        try:
            value = orjson.loads(cell)
        except orjson.JSONDecodeError:
            return cell
    else:
        value = drop_nulls(cell)  # in a struct a null is a field that this row does not have
    return _number(value, name, column) if isinstance(value, float | Decimal) else value


def _number(cell: float | Decimal, name: str, column: str) -> int | float | None:
    if isnan(cell):
        return None  # how data frames write an empty cell
    if isinf(cell):
        raise _fail(name, column, "the cell holds an infinite number, which JSON cannot write")
    if -_EXACT < cell < _EXACT and cell == int(cell):
        return int(cell)
    return float(cell)


def _fail(name: str, column: str, what: str) -> FailsRow:
    return FailsRow("bad_request", f"{name} (column {column}): {what}")
