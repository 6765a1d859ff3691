"""What is wrong with a setting, and what was meant: the checker's findings in our words."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_BOUNDS = {
    "gt": "it must be above {}",
    "ge": "it must be {} or more",
    "lt": "it must be below {}",
    "le": "it must be {} or less",
}


def explain(error: ValidationError, known: Mapping[str, Collection[str]]) -> str:
    """A line for each flaw. `known`: the settings that there are, by table; "" is the top."""
    lines = []
    for flaw in error.errors(include_url=False):
        where = ".".join(str(part) for part in flaw["loc"]) or "job"
        if flaw["type"] == "extra_forbidden":
            lines.append(f"{where}: there is no such setting{_near(where, known)}")
        else:
            lines.append(f"{where}: {told(flaw)} (flag: {_flag(where)})")
    return "\n".join(lines)


def told(flaw: ErrorDetails) -> str:
    """What is wrong with one value."""
    kind, value, limits = flaw["type"], flaw["input"], flaw.get("ctx", {})
    if kind in {"float_parsing", "float_type"} or value != value:  # NaN
        return f"'{value}' is no number"
    if kind in {"int_parsing", "int_type", "int_from_float"}:
        return f"'{value}' is no whole number"
    if kind == "literal_error":
        return f"'{value}' is none of {limits['expected']}"
    for name, words in _BOUNDS.items():
        if name in limits:
            return words.format(f"{limits[name]:,g}")
    return flaw["msg"].removeprefix("Value error, ")


def _near(where: str, known: Mapping[str, Collection[str]]) -> str:
    """The end of a sentence about an unknown setting."""
    table, _, name = where.rpartition(".")
    here = known.get(table, ())
    near = difflib.get_close_matches(name, here, n=1)
    if near:
        return f"; did you mean {table + '.' if table else ''}{near[0]}?"
    elsewhere = [other for other, names in known.items() if name in names]
    if elsewhere:
        place = f"the table {elsewhere[0]}" if elsewhere[0] else "no table"
        return f" here; it stands in {place}"
    return f". There are: {', '.join(here)}"


def _flag(where: str) -> str:
    """The flag of a setting: limits.timeout_s is --timeout, csv_encoding is --csv-encoding."""
    name = where.split(".")[1 if where.startswith("limits.") else 0]
    return "--" + name.removesuffix("_s").replace("params", "param").replace("_", "-")
