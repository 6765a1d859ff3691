"""JSON objects whose last key is a checksum over the rest.

A flipped digit is still JSON, and may be money.
"""

from __future__ import annotations

import zlib
from typing import Any

import orjson

_CRC = b',\n  "crc": "%08x"\n}'
_CRC_BYTES = len(_CRC % 0)


def with_checksum(data: dict[str, Any]) -> bytes:
    """The object as indented text."""
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    return text[:-2] + _CRC % zlib.crc32(text)


def checked(text: bytes) -> dict[str, Any]:
    """The object in a text; one without a checksum (of the first versions) is taken as it is.

    Raises ValueError where the text is not what was written, AttributeError where it is no object.
    """
    data: dict[str, Any] = orjson.loads(text)
    if data.pop("crc", None) is not None:
        text = text.removesuffix(b"\n")
        if text[-_CRC_BYTES:] != _CRC % zlib.crc32(text[:-_CRC_BYTES] + b"\n}"):
            raise ValueError("its checksum is not that of its contents")
    return data
