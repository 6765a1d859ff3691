"""The lines of a JSONL file, and the object that stands in each."""

from __future__ import annotations

import codecs
import json
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from runner.dataset.batches import MAX_LINE_BYTES, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

Line = tuple[bool, bytes, int]  # whether it is whole, its bytes, its number in the file


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank. Of a line above 64 MB there is only the beginning."""
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE_BYTES), b""), 1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901 - no part of the line
        whole = len(line) < MAX_LINE_BYTES or line.endswith(b"\n")
        if not whole:
            piece = line
            while piece and not piece.endswith(b"\n"):
                piece = file.readline(MAX_LINE_BYTES)
        if line and not line.isspace():
            yield whole, line, number


def parse(line: Line) -> dict[str, Any] | str:
    """The line's object, or why there is none."""
    whole, text, _ = line
    if not whole:
        return f"is longer than {MAX_LINE_BYTES >> 20} MB"
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = _with_nan(text)
        if found is None:
            return f"is not JSON ({error})"
    return found if isinstance(found, dict) else "is not a JSON object"


def show_line(line: Line) -> str:
    """The line for an error message."""
    return shown(line[1].decode("utf-8", "surrogateescape"))


def _with_nan(text: bytes) -> object:
    """JSON as Python writes it, with NaN and Infinity, which are read as null; None if not even so.

    Text that no UTF-8 could hold (a lone surrogate escape) is not let through.
    """
    if b"NaN" not in text and b"Infinity" not in text:
        return None
    try:
        found: object = json.loads(text, parse_constant=lambda _: None)
        orjson.dumps(found)
    except (ValueError, TypeError, RecursionError):
        return None
    return found
