"""The text is not in the encoding it was said to be in: which one is it?"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LONELY_SHARE = 0.5  # samples in its test: Western text above 0.75, double-byte below 0.1
_LOOKED_AT_CHARS = 20_000

# Where the lead bytes of the everyday characters lie: punctuation, kana, first-level characters.
_EVERYDAY: dict[str, Callable[[int], bool]] = {
    "gb18030": lambda lead: 0xA1 <= lead <= 0xA9 or 0xB0 <= lead <= 0xD7,
    "big5": lambda lead: 0xA1 <= lead <= 0xA3 or 0xA4 <= lead <= 0xC6,
    "shift_jis": lambda lead: 0x81 <= lead <= 0x83 or 0x88 <= lead <= 0x97,
}


def guess_encoding(data: bytes, *, but: str) -> str | None:
    """A name for --csv-encoding that reads `data` (a file's beginning) as likely text, or None.

    `but` is the encoding that has failed already.
    """
    failed = codecs.lookup(but).name
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding if codecs.lookup(encoding).name != failed else None
    candidates = ["utf-8", *_double_byte(data), "cp1252"]
    if b"\0" in data[:200]:  # ASCII in UTF-16 has a NUL in each pair
        candidates = ["utf-16-be" if data[:1] == b"\0" else "utf-16-le"]
    for encoding in candidates:
        if codecs.lookup(encoding).name != failed and decoded(data, encoding) is not None:
            return encoding
    return None


def decoded(data: bytes, encoding: str) -> str | None:
    """The text, or None; a character cut off at the end is left out."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=False)
    except UnicodeError:
        return None


def _double_byte(data: bytes) -> list[str]:
    """East Asian encodings that read the data, the one with the most everyday characters first."""
    if _lonely_share(data) > _LONELY_SHARE:
        return []
    shares = {encoding: _everyday_share(data, encoding) for encoding in _EVERYDAY}
    fitting = [encoding for encoding, share in shares.items() if share > 0]
    return sorted(fitting, key=lambda encoding: -shares[encoding])


def _lonely_share(data: bytes) -> float:
    """Which share of the bytes above ASCII stands between two ASCII bytes, as accents do."""
    high = lonely = 0
    for before, byte, after in zip(data, data[1:], data[2:], strict=False):
        if byte >= 0x80:
            high += 1
            lonely += before < 0x80 and after < 0x80
    return lonely / high if high else 0.0


def _everyday_share(data: bytes, encoding: str) -> float:
    text = decoded(data, encoding)
    if text is None:
        return 0.0
    foreign = [char for char in text if not char.isascii()][:_LOOKED_AT_CHARS]
    everyday = _EVERYDAY[encoding]
    leads = [char.encode(encoding, "replace")[0] for char in foreign]
    return sum(map(everyday, leads)) / len(leads) if leads else 0.0
