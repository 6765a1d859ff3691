"""A sealed block's file of keys: 16 bytes a row, all request keys, then all ids or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES = 16  # of a key, and of an id
_NONE = bytes(KEY_BYTES)
_NO_HEX = _NONE.hex()


def packed(texts: Iterable[str]) -> bytes:
    """Keys or ids, 32 hex digits each or "" for none, as a file of keys holds them."""
    return bytes.fromhex("".join([text or _NO_HEX for text in texts]))


def key_at(keys: bytes | bytearray, at: int) -> bytes:
    """A row's key, or its id; b"" where it has none."""
    piece = bytes(keys[at * KEY_BYTES : (at + 1) * KEY_BYTES])
    return piece if piece != _NONE else b""


def unpacked(keys: bytes) -> list[str]:
    """What was `packed`."""
    return [key_at(keys, at).hex() for at in range(len(keys) // KEY_BYTES)]
