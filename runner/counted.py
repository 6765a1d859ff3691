"""How many of what: `1 row`, `2 rows`. Every message that counts says it through this."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 row`, `1,234 rows`; `many` where it is not `one` with an s: `2 replies are`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
