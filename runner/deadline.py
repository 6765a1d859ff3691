"""When is it too late to begin another attempt?"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.errors import BudgetReached
from runner.notation import parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable

# The wall clock decides, and may be set, or stand still while a laptop sleeps.
_LOOK_EVERY_S = 10.0


def _now() -> datetime:
    return datetime.now(UTC)


async def stop_at(
    deadline: str,
    stop: Callable[[BudgetReached], None],
    *,
    now: Callable[[], datetime] = _now,
) -> None:
    """Call `stop` when the deadline comes; a duration counts from this call."""
    moment = parse_moment(deadline, now())
    while (left_s := (moment - now()).total_seconds()) > 0:  # noqa: ASYNC110 - a clock has no event
        await asyncio.sleep(min(left_s, _LOOK_EVERY_S))
    when = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    stop(BudgetReached(f"the deadline has come (--deadline {deadline}: {when})"))


def is_over(deadline: str) -> bool:
    """Whether a run that starts now would stop at once."""
    return parse_moment(deadline, _now()) <= _now()
