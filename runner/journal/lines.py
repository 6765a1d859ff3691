"""One line of a journal: a result, or the bill so far of a row that has none yet.

Where a result in a part is asked again, the row's first line is what that part has of its bill;
`sealed_bills` says what for.
"""

from __future__ import annotations

import zlib
from dataclasses import fields
from typing import Any

import orjson

from runner.records import Result, Unfinished

_CRC = b',"crc":"%08x"}\n'
_CRC_BYTES = len(_CRC % 0)
_FIELDS = frozenset(field.name for field in fields(Result))
_BILL_FIELDS = frozenset(field.name for field in fields(Unfinished))
_UNFINISHED = "unfinished"  # the one key of a line that holds a bill

Entry = Result | Unfinished


def cleaned(result: Result) -> Result:
    """The result with every text in it valid Unicode: half a surrogate pair becomes U+FFFD.

    Neither JSON nor Arrow can hold one, and an answer is not to be lost for a character.
    """
    values: dict[str, Any] = {name: getattr(result, name) for name in _FIELDS}
    for name, value in values.items():
        if isinstance(value, str):
            raw = value.encode("utf-16-le", "surrogatepass")
            values[name] = raw.decode("utf-16-le", "replace")
    return Result(**values)


def encode_line(entry: Entry) -> bytes:
    """One journal line: the result as a JSON object, its CRC-32 in the last key.

    The bill of a row without a result is an object in an object. Raises TypeError for a text that
    is not valid Unicode.
    """
    text = orjson.dumps(entry if isinstance(entry, Result) else {_UNFINISHED: entry})
    return text[:-1] + _CRC % zlib.crc32(text)


def decode_line(line: bytes) -> Entry | None:
    """What a line holds that ends in a newline, or None when the line is damaged."""
    text = line[:-_CRC_BYTES] + b"}"
    if line[-_CRC_BYTES:] != _CRC % zlib.crc32(text):
        return None
    data = orjson.loads(text)
    bill = data.get(_UNFINISHED)
    if bill is not None:
        return Unfinished(**{name: value for name, value in bill.items() if name in _BILL_FIELDS})
    return Result(**{name: value for name, value in data.items() if name in _FIELDS})
