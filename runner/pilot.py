"""Which rows does a pilot ask? A few, spread over the whole dataset.

One row of each of as many equal stretches, its place there drawn at random: data that is ordered is
represented evenly, data that repeats at a regular interval does not mislead. The seed is fixed, so
that the same command finds the same rows.
"""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.seal_record import SealRecord

_SEED = 20_240_601


def pilot_rows(
    wanted: int, of: int, *, known: Sequence[int] = (), seed: int = _SEED
) -> tuple[int, ...]:
    """`wanted` of the first `of` rows, ascending; all where there are not more.

    `known`, ascending, are rows of an earlier pilot, which are kept: new ones come from the
    stretches that hold none of them.
    """
    if wanted >= of:
        return tuple(range(of))
    dice = Random(seed)  # noqa: S311 - nothing secret
    kept = [row for row in known if row < of]
    places = [dice.randrange(start, stop) for start, stop in _stretches(wanted, of)]
    empty = [
        row
        for row, (start, stop) in zip(places, _stretches(wanted, of), strict=True)
        if bisect_left(kept, start) == bisect_left(kept, stop)
    ]
    missing = max(0, wanted - len(kept))
    if len(empty) > missing:
        empty = dice.sample(empty, missing)
    return tuple(sorted({*kept, *empty}))


def _stretches(wanted: int, of: int) -> list[tuple[int, int]]:
    return [(at * of // wanted, (at + 1) * of // wanted) for at in range(wanted)]


def pilot_spans(
    rows: Sequence[int],
    block_rows: int,
    sealed: Mapping[int, SealRecord],
    reopened: Collection[int],
) -> list[range]:
    """The single rows to read, but for those of sealed blocks that stay as they are."""
    return [
        range(row, row + 1)
        for row in rows
        if row // block_rows not in sealed or row // block_rows in reopened
    ]
