"""What a dataset hands on: bounded batches of consecutive rows, and only the wanted ones."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import pyarrow as pa

from runner.dataset.sources import told
from runner.errors import MachineFault
from runner.records import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from runner.dataset.sources import Source

MAX_ROWS = 1024  # of a batch: enough to make its overhead vanish, small enough to stop in
MAX_BYTES = 1 << 20  # of a batch's text; one larger row is a batch of its own
MAX_LINE_BYTES = 64 << 20  # of a row in a text file; no provider takes a request half as large
SAMPLE_BYTES = 1 << 20  # of a text file: flaws within it are refused before anything is sent
SAMPLE_BYTES_LATER = 1 << 16  # of each further file of the dataset
_SHOWN_CHARS = 2000  # of a raw line in an error message
# More than this share of the first characters being no text, the file is none.
_BINARY_SHARE = 0.2
_BINARY_CHARS = 60

RecordT = TypeVar("RecordT", bound="tuple[Any, str | bytes, int]")


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows. Made by `dataset`, consumed by `run`, `output` and `estimate`."""

    start: int  # position of its first row
    cells: Mapping[str, Sequence[Any]]  # by column, just those asked for
    inputs: pa.RecordBatch  # the same rows, the columns to keep, typed as they came
    flaws: Mapping[int, str]  # by offset, which rows are none, and why; their cells mean nothing
    _rows: list[Row] = field(default_factory=list, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return self.inputs.num_rows

    @property
    def rows(self) -> list[Row]:
        """From `start` on, made when first asked for; a flawed row's cells are all ""."""
        if not self._rows:
            self._rows.extend(
                make_rows(range(self.start, self.start + len(self)), self.cells, self.flaws)
            )
        return self._rows


class Spans:
    """Which positions are wanted: sorted, disjoint ranges, neighbours joined."""

    def __init__(self, spans: Iterable[range]) -> None:
        self._spans: list[range] = []
        for span in spans:
            if not span:
                continue
            last = self._spans[-1] if self._spans else range(0)
            if span.start < last.stop:
                raise ValueError(f"spans must be sorted and disjoint: {last}, {span}")
            if self._spans and span.start == last.stop:
                self._spans[-1] = range(last.start, span.stop)
            else:
                self._spans.append(span)
        self._starts = [span.start for span in self._spans]

    def from_(self, position: int) -> range | None:
        """What remains, at or after `position`, of the first span that is not over by then."""
        at = max(bisect_right(self._starts, position) - 1, 0)
        for span in self._spans[at : at + 2]:
            if span.stop > position:
                return range(max(span.start, position), span.stop)
        return None

    def within(self, start: int, stop: int) -> Iterator[range]:
        """The wanted pieces of `range(start, stop)`, in order."""
        while start < stop and (span := self.from_(start)) is not None and span.start < stop:
            yield range(span.start, min(span.stop, stop))
            start = span.stop


class Cursor(Generic[RecordT]):
    """Walks the records of one text file. A record's second item is its text, to be measured."""

    def __init__(self, records: Iterator[RecordT]) -> None:
        self._records = records
        self._held: list[RecordT] = []

    def skip(self, count: int) -> int:
        """Go past `count` records; fewer are returned where the file ends."""
        skipped = len(self._held[:count])
        del self._held[:count]
        return skipped + sum(1 for _ in islice(self._records, count - skipped))

    def take(self, count: int) -> list[RecordT]:
        """The next records: at most `count`, at most MAX_BYTES unless it is a single one."""
        taken, self._held = self._held, []
        size = sum(len(record[1]) for record in taken)
        for record in islice(self._records, count - len(taken)):
            size += len(record[1])
            if size > MAX_BYTES and taken:
                self._held.append(record)
                break
            taken.append(record)
        return taken


def make_rows(
    positions: Sequence[int], cells: Mapping[str, Sequence[Any]], flaws: Mapping[int, str]
) -> list[Row]:
    """Rows from column-wise cells; `flaws` tells, by offset, which of them are none, and why."""
    names = tuple(cells)
    if names:
        rows = [
            Row(index, dict(zip(names, values, strict=True)))
            for index, values in zip(positions, zip(*cells.values(), strict=True), strict=True)
        ]
    else:
        rows = [Row(index, {}) for index in positions]
    for offset, flaw in flaws.items():
        rows[offset] = Row(positions[offset], dict.fromkeys(names, ""), flaw)
    return rows


def make_batch(
    start: int,
    cells: Mapping[str, Sequence[Any]],
    inputs: pa.RecordBatch,
    flaws: Mapping[int, str],
) -> Batch:
    """A batch of column-wise cells. A flawed row's inputs are null."""
    if flaws:
        kept = [None if offset in flaws else offset for offset in range(inputs.num_rows)]
        inputs = inputs.take(pa.array(kept, pa.int64()))
    return Batch(start, cells, inputs, flaws)


def record_batch(arrays: list[pa.Array[Any]], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """A batch of `rows` rows, also when there is no column at all."""
    if arrays:
        return pa.RecordBatch.from_arrays(arrays, schema=schema)
    nothing = cast("pa.StructArray", pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_struct_array(nothing)


def shown(raw: str) -> str:
    r"""A raw line for an error message: bytes that are no text as \xff, cut to 2,000 characters.

    Of what is no text at all, such as a picture called .csv, the beginning is enough.
    """
    text = raw.rstrip("\r\n")
    most = _SHOWN_CHARS
    head = text[:_BINARY_CHARS]
    if sum(map(_is_binary, head)) > len(head) * _BINARY_SHARE:
        most = _BINARY_CHARS
    cut = "".join(map(_visible, text[:most]))
    return cut if len(text) <= most else f"{cut}… ({len(text):,} characters in all)"


def _is_binary(char: str) -> bool:
    return not char.isprintable() and char not in "\t\n"


def _visible(char: str) -> str:
    if not _is_binary(char):
        return char
    # An undecodable byte was read as the surrogate U+DC00 + byte.
    code = ord(char) - 0xDC00 if "\udc00" <= char <= "\udcff" else ord(char)
    return f"\\x{code:02x}"


def read_text(
    sources: Sequence[Source],
    open_cursor: Callable[[Source], AbstractContextManager[Cursor[RecordT]]],
    build: Callable[[Source, int, list[RecordT]], Batch],
    spans: Spans,
    total_rows: int | None,
) -> Generator[Batch, None, int | None]:
    """Batches of the wanted rows of text files. Returns how many rows there are, once known.

    `open_cursor` opens a file before its first row, `build` makes a batch of (file, position of
    the first record, records). What cannot be read on becomes a MachineFault.
    """
    position = 0
    for source in sources:
        if spans.from_(position) is None:
            return total_rows
        with open_cursor(source) as cursor:
            while (span := spans.from_(position)) is not None:
                with told(source, MachineFault):
                    position += cursor.skip(span.start - position)
                    records = cursor.take(min(MAX_ROWS, len(span)))
                if not records:  # the file's end
                    break
                yield build(source, position, records)
                position += len(records)
            else:
                return total_rows
    return position
