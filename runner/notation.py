"""How durations, amounts of money and moments are written on a command line and in a job file."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_MONEY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]{3})?")
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def parse_duration_s(value: object) -> object:
    """`90`, `"90s"`, `"2h"` or `"1h30m"` as seconds; other types pass through."""
    if not isinstance(value, str):
        return value
    parts = _DURATION.findall(value)
    if not parts or _DURATION.sub("", value).strip():
        raise ValueError(f"'{value}' is no duration; write 90, 90s, 15m, 2h or 1h30m")
    return sum(float(number) * _UNITS_S[unit or "s"] for number, unit in parts)


def parse_money(text: str) -> tuple[Decimal, str | None]:
    """`1.5`, `1.5USD` or `10 CNY` as an amount and its currency, in capitals; None: not said.

    Raises ValueError.
    """
    found = _MONEY.fullmatch(text.strip())
    if found is None or not Decimal(found[1]):
        raise ValueError(f"'{text}' is no amount of money above 0; write 1.5, 1.5USD or '10 CNY'")
    return Decimal(found[1]), found[2].upper() if found[2] else None


def parse_moment(text: str, now: datetime) -> datetime:
    """`2h` from `now`, the next `18:00`, or `2026-11-25T08:00`; where no zone is given, `now`'s.

    Raises ValueError.
    """
    text = text.strip()
    if _TIME_OF_DAY.fullmatch(text):
        clock = time.fromisoformat(text.zfill(len(text) + (text.index(":") < 2)))
        # Through the local clock, so that a change to summer time in between does no harm.
        local = now.replace(tzinfo=None) if now.tzinfo is None else now.astimezone()
        today = datetime.combine(local.date(), clock).astimezone()
        if today > now.astimezone():
            return today
        return datetime.combine(local.date() + timedelta(days=1), clock).astimezone()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        if not text.isdigit():
            return moment.astimezone()
    try:
        seconds = parse_duration_s(text)
    except ValueError:
        raise ValueError(
            f"'{text}' is neither a duration (2h, 1h30m) nor a time (18:00, 2026-11-25T08:00)"
        ) from None
    assert isinstance(seconds, float | int)  # noqa: S101 - of a text
    return now.astimezone() + timedelta(seconds=seconds)


def as_written(value: object) -> object:
    """A TOML date or time as the text that means it; other values pass through."""
    return value.isoformat() if isinstance(value, date | time) else value
