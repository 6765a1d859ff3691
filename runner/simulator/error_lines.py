"""What can the server answer with, besides an answer? The lines of `error_lines.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from runner.errors import JobError

How = Literal[
    "answer", "error", "data_prefixed", "no_choices", "partial", "truncated", "broken",
    "error_in_stream", "no_usage", "gzip", "huge", "drop", "hang",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that the server can answer with. Made here, consumed by `simulator`."""

    name: str
    how: How = "error"
    status: int = 200
    code: str = ""
    type: str = ""
    message: str = ""
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None  # the body as it is, instead of the provider's error object
    content_type: str = "application/json"
    retry_after_date_s: float | None = None  # a Retry-After date that far ahead
    with_id: bool = False  # the body also carries an "id" beside its "request_id"
    delay_s: float | None = None  # instead of the server's latency


ANSWER: Final = Line("answer", how="answer")


@cache
def error_lines() -> dict[str, Line]:
    """Every line of `error_lines.toml` by its name."""
    return {name: Line(name, **line) for name, line in _table().items() if name != "by_status"}


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("error_lines.toml").read_text("utf-8"))


def line_named(name: str, *, where: str) -> Line:
    """The line of that name or HTTP status. Raises JobError with the nearest names."""
    if name in ("answer", "ok"):
        return ANSWER
    lines = error_lines()
    found = lines.get(_table()["by_status"].get(name, name.lower()))
    if found is None:
        near = ", ".join(get_close_matches(name.lower(), lines, n=3))
        meant = f"; did you mean {near}?" if near else "."
        raise JobError(
            f"{where}: there is no error called '{name}'{meant} `penstock simulate --list-errors` "
            f"prints all"
        )
    return found
