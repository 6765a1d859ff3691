from __future__ import annotations

import random
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from runner.dataset.batches import MAX_BYTES, Cursor, Spans, make_batch, record_batch, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = tuple[None, str, int]


def records(*sizes: int) -> Iterator[Record]:
    return ((None, "x" * size, line) for line, size in enumerate(sizes))


def test_neighbouring_spans_are_joined_and_empty_ones_forgotten() -> None:
    spans = Spans([range(2, 4), range(4, 4), range(4, 6), range(9, sys.maxsize)])
    assert spans.from_(0) == range(2, 6)
    assert spans.from_(5) == range(5, 6)
    assert spans.from_(6) == range(9, sys.maxsize)
    assert Spans([]).from_(0) is None
    assert Spans([range(3)]).from_(3) is None


def test_spans_that_overlap_or_go_back_are_a_mistake_of_the_caller() -> None:
    for wrong in ([range(5), range(4, 6)], [range(5, 6), range(2)]):
        with pytest.raises(ValueError, match="sorted and disjoint"):
            Spans(wrong)


def test_within_gives_exactly_the_wanted_positions() -> None:
    seed = 20_251_124
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    for _ in range(300):
        wanted = sorted(chance.sample(range(40), chance.randrange(40)))
        spans = Spans(range(at, at + 1) for at in wanted)
        start, stop = sorted(chance.choices(range(45), k=2))
        pieces = list(spans.within(start, stop))
        assert [at for piece in pieces for at in piece] == [
            at for at in wanted if start <= at < stop
        ]
        assert all(one.stop < two.start for one, two in pairwise(pieces))


def test_a_cursor_takes_about_a_megabyte_and_a_larger_record_alone() -> None:
    cursor = Cursor(records(10, 10, 5 * MAX_BYTES, 10, MAX_BYTES - 10, 1))
    sizes = []
    while taken := cursor.take(1024):
        sizes.append([len(text) for _, text, _ in taken])
    assert sizes == [[10, 10], [5 * MAX_BYTES], [10, MAX_BYTES - 10], [1]]


def test_a_cursor_counts_what_it_holds_back_when_it_skips() -> None:
    cursor = Cursor(records(10, 2 * MAX_BYTES, 3, 4))
    assert len(cursor.take(1024)) == 1
    assert cursor.skip(2) == 2
    assert [len(text) for _, text, _ in cursor.take(1)] == [4]
    assert cursor.skip(5) == 0


def test_a_flawed_row_has_empty_cells_null_inputs_and_says_why() -> None:
    schema = pa.schema([("n", pa.int64()), ("s", pa.struct([("x", pa.int64())]))])
    inputs = record_batch(
        [pa.array([1, 2], pa.int64()), pa.array([{"x": 1}, {"x": 2}], schema.field("s").type)],
        schema,
        2,
    )
    batch = make_batch(7, {"t": ["a", "b"]}, inputs, {1: "broken"})
    assert [(row.index, row.cells, row.flaw) for row in batch.rows] == [
        (7, {"t": "a"}, None),
        (8, {"t": ""}, "broken"),
    ]
    assert batch.inputs.to_pylist() == [{"n": 1, "s": {"x": 1}}, {"n": None, "s": None}]
    assert batch.inputs.schema == schema


def test_a_batch_without_any_column_still_has_its_rows() -> None:
    batch = make_batch(3, {}, record_batch([], pa.schema([]), 2), {})
    assert [row.index for row in batch.rows] == [3, 4]
    assert batch.inputs.num_rows == 2


def test_a_raw_line_is_shown_whole_with_undecodable_bytes_named() -> None:
    raw = b"caf\xe9, ok\r\n".decode("utf-8", "surrogateescape")
    assert shown(raw) == "caf\\xe9, ok"
    assert shown("x" * 2000) == "x" * 2000
    assert shown("x" * 12_345) == "x" * 2000 + "… (12,345 characters in all)"
