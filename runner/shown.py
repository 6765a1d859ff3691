"""A run's rows one by one: the request as it was sent, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from runner.drift import same_files
from runner.errors import FailsRow, MachineFault, Refused
from runner.kept import Kept
from runner.preflight import prepare
from runner.reading import in_one_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runner.folder import RunFile, RunFolder
    from runner.preflight import Preflight
    from runner.records import Result, Row

_T = TypeVar("_T")

# What the client adds to a body that is to be answered in a stream.
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True)
class Shown:
    """One row to be shown. Made by `ShownRows`, consumed by the command."""

    row: int  # position in the dataset, from 0
    id: Any  # of the id column; None where there is none
    request: dict[str, Any] | None  # the body to send; None where it cannot be rendered
    is_sent: bool | None  # whether that very body was sent; None: nothing was, or it is unknown
    note: str | None  # why there is no request, or not the one that was sent
    result: Result | None  # None: pending

    @property
    def status(self) -> str:
        """pending, failed or succeeded."""
        if self.result is None:
            return "pending"
        return "failed" if self.result.failed else "succeeded"


def as_sent(body: bytes, *, stream: bool) -> dict[str, Any]:
    """A request's body with the keys that the client adds."""
    fields: dict[str, Any] = orjson.loads(body)
    return fields | STREAMED if stream else fields


class ShownRows:
    """The rows of one run, looked up without reading more of it than they need.

    Raises MachineFault where the part of a row is gone or damaged.
    """

    def __init__(self, folder: RunFolder, run: RunFile) -> None:
        self._folder = folder
        self._begin(run)

    def _begin(self, run: RunFile) -> None:
        self._run = run
        self._flight: Preflight | None = None
        self._is_same = False
        self._trouble: str | None = None
        try:
            self._flight = prepare(run.job, run.paths)
            self._is_same = same_files(run, self._flight.dataset.stamp())
        except (Refused, MachineFault) as error:
            self._trouble = f"the request cannot be rendered: {error}"

    def _in_one_layout(self, read: Callable[[Kept], _T]) -> _T:
        def begun(run: RunFile) -> _T:
            if run is not self._run:
                self._begin(run)
            return read(Kept(self._folder, run))

        return in_one_layout(self._folder, self._run, begun)

    @property
    def total_rows(self) -> int | None:
        """Rows of the dataset; None while it has not been read to its end."""
        if self._run.total_rows is not None or self._flight is None:
            return self._run.total_rows
        return self._flight.dataset.total_rows

    def row(self, row: int) -> Shown | None:
        """One row; None where the dataset ends before it."""
        return self._in_one_layout(lambda kept: self._row(kept, row))

    def _row(self, kept: Kept, row: int) -> Shown | None:
        block = row // self._run.block_rows
        found = kept.results(block, range(row, row + 1))
        if row in found:
            return next(self._show([found[row]]))
        if self.total_rows is not None and row >= self.total_rows:
            return None
        for raw in self._rows([row]):
            return self._framed(raw, None)
        return Shown(row, None, None, None, self._trouble, None) if self._trouble else None

    def first(self, most: int, *, failed: bool = False) -> list[Shown]:
        """The first `most` rows that have a result, or that failed."""

        def shown(kept: Kept) -> list[Shown]:
            results = self._failures(kept) if failed else self._results(kept, most)
            return list(self._show(list(islice(results, most))))

        return self._in_one_layout(shown)

    def _failures(self, kept: Kept) -> Iterator[Result]:
        for block in kept.blocks():
            yield from kept.failures(block).values()

    def _results(self, kept: Kept, most: int) -> Iterator[Result]:
        for block in kept.blocks():
            record = kept.record(block)
            # A part has all rows from its block's start, so no more than these are looked at.
            enough = record is not None and record.rows >= most
            start = block * self._run.block_rows
            rows = range(start, start + most) if enough else None
            yield from kept.results(block, rows).values()

    def _show(self, results: list[Result]) -> Iterator[Shown]:
        by_row = {result.row: result for result in results}
        for raw in self._rows(sorted(by_row)):
            yield self._framed(raw, by_row.pop(raw.index))
        for result in by_row.values():
            trouble = self._trouble or "the request cannot be rendered: the dataset ends before it"
            yield Shown(result.row, None, None, None, trouble, result)

    def _rows(self, wanted: Iterable[int]) -> Iterator[Row]:
        """The dataset's rows at these places, as far as they can be read."""
        flight = self._flight
        if flight is None:
            return
        columns = set(flight.template.columns)
        if flight.job.id_column is not None:
            columns.add(flight.job.id_column)
        spans = [range(row, row + 1) for row in wanted]
        try:
            batches = flight.dataset.batches(columns=columns, keep=(), spans=spans)
            for batch in batches:
                yield from batch.rows
        except (Refused, MachineFault) as error:
            self._trouble = f"the request cannot be rendered: {error}"

    def _framed(self, raw: Row, result: Result | None) -> Shown:
        assert self._flight is not None  # noqa: S101 - `_rows` yielded the row from it
        id_column = self._flight.job.id_column
        id_value = raw.cells.get(id_column) if id_column is not None else None
        note: str | None = None
        try:
            request = self._flight.template.fill(raw)
        except FailsRow as flaw:
            if result is None or result.key:  # else the result says the same
                note = f"no request can be made of this row: {flaw.message}"
            return Shown(raw.index, id_value, None, None, note, result)
        body = as_sent(request.body, stream=self._flight.stream)
        is_sent = None if result is None or not result.key else result.key == request.key
        if not self._is_same:
            note = "the dataset's files have changed since the run began"
        if is_sent is False:
            why = note or "the row was asked again with other settings, or the default model is new"
            note = f"this is not the request that was sent: {why}"
        elif is_sent:
            note = None  # whatever has changed, this row has not
        return Shown(raw.index, id_value, body, is_sent, note, result)
