"""Which rows stand for all of them, and how far may they mislead?"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from runner.estimate.ranges import Range
from runner.estimate.student import student

if TYPE_CHECKING:
    from runner.dataset import Dataset

_INSIDE = 0.95  # the share of cases in which a sample's error is meant to hold the truth
_FEW = 30  # rows; the error that fewer ones show is itself hardly known
# Reading ahead inside a Parquet row group costs about a microsecond a row; so much is no delay.
_CHEAP_ROWS = 50_000
_CHEAP_BYTES = 16 << 20  # as stored
_MOST_GROUPS = 25


class Weighed(NamedTuple):
    """A sum of one figure over rows, and the sum of its squares, which tells how rows differ."""

    total: float
    squares: float


@dataclass(frozen=True, slots=True)
class Sample:
    """How many rows were looked at, of how many. Sums over them stand for sums over all."""

    rows: int
    of: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to chance."""
        return self.rows == self.of

    @property
    def is_small(self) -> bool:
        """Whether the rows looked at are too few to tell well how far they mislead."""
        return not self.is_whole and self.rows < _FEW

    def scaled(self, total: float) -> float:
        """A sum over the rows looked at, as one over all rows."""
        return total if self.is_whole else total * self.of / max(1, self.rows)

    def between(self, low: Weighed, high: Weighed) -> Range:
        """From one sum over the rows looked at to another, scaled, the sample's error around it."""
        return Range(
            max(0.0, self.scaled(low.total) - self.margin(low)),
            self.scaled(high.total) + self.margin(high),
        )

    def margin(self, weighed: Weighed) -> float:
        """How far the scaled sum may be off, either way, in 95 of 100 cases.

        Rows spread evenly are treated as drawn at random, which overstates the error, except where
        the data repeats at the very interval of the sample. One row tells nothing of how rows
        differ: then it may be all of the sum, either way.
        """
        if self.is_whole:
            return 0.0
        if self.rows < 2:
            return abs(self.scaled(weighed.total))
        mean_square = weighed.total * weighed.total / self.rows
        variance = max(0.0, weighed.squares - mean_square) / (self.rows - 1)
        unseen = max(0.0, 1 - self.rows / self.of)
        reach = student(self.rows - 1, _INSIDE)
        return reach * self.of * math.sqrt(variance * unseen / self.rows)


def spread_evenly(rows: int, wanted: int) -> list[range]:
    """The middle row of each of `wanted` equal stretches; all rows where there are not more."""
    if wanted >= rows:
        return [range(rows)]
    return _singles(range(rows), wanted)


def spread_cheaply(dataset: Dataset, end: int | None, wanted: int) -> tuple[list[range], str]:
    """Spans of at most `wanted` rows below `end` that are quickly read; where they lie, in words.

    Of a Parquet file rows near the beginnings of its row groups, of a text file the first ones.
    """
    stop = sys.maxsize if end is None else end
    groups = [range(g.start, min(g.stop, stop)) for g in dataset.row_groups if g.start < stop]
    if not groups:
        return [range(min(wanted, stop))], "the first rows"
    if wanted >= groups[-1].stop:
        return [range(groups[-1].stop)], "all rows"
    bytes_per_row = dataset.total_bytes / max(1, dataset.total_rows or 0)
    cheap = max(20, min(_CHEAP_ROWS, int(_CHEAP_BYTES / max(1.0, bytes_per_row))))
    chosen = [group[0] for group in _chunks(groups, min(_MOST_GROUPS, cheap, len(groups)))]
    reach = cheap // len(chosen)
    spans: list[range] = []
    for group in chosen:
        here = group[:reach]
        spans += _singles(here, min(len(here), -(-wanted // len(chosen))))
    whole = all(len(group) <= reach for group in chosen)
    place = "" if whole else f"the first {reach:,} rows of "
    return spans, f"{place}{len(chosen)} of {len(groups)} row group(s)"


def _singles(rows: range, wanted: int) -> list[range]:
    middles = [rows[(2 * at + 1) * len(rows) // (2 * wanted)] for at in range(wanted)]
    return [range(row, row + 1) for row in middles]


def _chunks(groups: list[range], count: int) -> list[list[range]]:
    """The groups in `count` runs of about equal length, none empty."""
    size = len(groups)
    return [groups[at * size // count : (at + 1) * size // count] for at in range(count)]


def count_rows(dataset: Dataset) -> int:
    """How many rows a dataset has; a text file is read to its end for that, nothing is kept."""
    if dataset.total_rows is None:
        nowhere = [range(sys.maxsize - 1, sys.maxsize)]
        for _ in dataset.batches(columns=(), keep=(), spans=nowhere):
            pass
    assert dataset.total_rows is not None  # noqa: S101 - it has been read to its end
    return dataset.total_rows
