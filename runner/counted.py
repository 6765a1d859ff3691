"""How many of what: `1 row`, `2 rows`. Every message that counts says it through this."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 row`, `1,234 rows`, `2 retries`; `many` where the plural is another: `2 replies are`."""
    if count == 1:
        return f"1 {one}"
    return f"{count:,} {many or _plural(one)}"


def _plural(one: str) -> str:
    return one[:-1] + "ies" if one.endswith(("ry", "ly")) else one + "s"
