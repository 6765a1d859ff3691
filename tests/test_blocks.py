"""Which rows are read again, which are asked, and when a block is complete."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_results import some_result

from runner.blocks import MOST_ROWS, Block, block_rows_for, rows_to_ask, to_read
from runner.records import Row
from runner.seal_record import SealRecord
from runner.tally import Tally


def sealed(block: int, rows: int, *, block_rows: int = 10) -> SealRecord:
    return SealRecord(block, block * block_rows, rows, "part", 1, "00", Tally(), {})


@pytest.mark.parametrize(
    ("input_bytes_per_row", "total_rows", "rows"),
    [
        (0, None, 8192),
        (0, 1_000_000, 8192),
        (1000, 1_000_000, 4144),
        (0, 20_000, 1000),
        (0, 100, 64),
        (0, 5, 64),
        (5 << 20, 1_000_000, 1),
        (20 << 20, None, 1),
        (7 << 20, 3, 1),
    ],
)
def test_blocks_are_about_eight_megabytes_and_at_least_twenty(
    input_bytes_per_row: float, total_rows: int | None, rows: int
) -> None:
    found = block_rows_for(input_bytes_per_row, total_rows)
    assert found == rows
    assert found <= MOST_ROWS


@pytest.mark.parametrize(
    ("end", "blocks", "reopened", "spans"),
    [
        (None, {}, [], [range(sys.maxsize)]),
        (35, {}, [], [range(35)]),
        (35, {0: 10}, [], [range(10, 35)]),
        (35, {1: 10}, [], [range(10), range(20, 35)]),
        (35, {1: 10}, [1], [range(35)]),
        (35, {0: 10, 1: 10, 2: 10, 3: 5}, [], []),
        (35, {0: 10, 1: 10, 2: 10, 3: 5}, [0, 3], [range(10), range(30, 35)]),
        (None, {0: 10, 2: 10}, [], [range(10, 20), range(30, sys.maxsize)]),
        (None, {0: 10, 1: 4}, [], [range(10, sys.maxsize)]),
        (5, {0: 5}, [], []),
        (35, {0: 5}, [], [range(35)]),
        (3, {0: 5}, [], []),
        (15, {0: 10, 1: 10, 2: 10}, [2], []),
    ],
)
def test_what_is_not_sealed_to_its_end_is_read(
    end: int | None, blocks: dict[int, int], reopened: list[int], spans: list[range]
) -> None:
    records = {block: sealed(block, rows) for block, rows in blocks.items()}
    assert to_read(10, end, records, reopened) == spans


@st.composite
def states(draw: st.DrawFn) -> tuple[int, int | None, dict[int, SealRecord], set[int]]:
    """A block size, the end of the scope, and blocks sealed under any scope before."""
    block_rows = draw(st.integers(1, 7))
    end = draw(st.none() | st.integers(1, 60))
    blocks = draw(st.dictionaries(st.integers(0, 12), st.integers(1, block_rows)))
    records = {block: sealed(block, rows, block_rows=block_rows) for block, rows in blocks.items()}
    return block_rows, end, records, draw(st.sets(st.sampled_from(sorted(blocks) or [0])))


@given(states())
def test_every_row_is_either_read_or_sealed_and_none_is_read_twice(
    state: tuple[int, int | None, dict[int, SealRecord], set[int]],
) -> None:
    block_rows, end, records, reopened = state
    spans = to_read(block_rows, end, records, reopened)
    stops = [0, *(span.stop for span in spans)]
    assert all(span.start >= stop for span, stop in zip(spans, stops, strict=False))
    assert all(span.start % block_rows == 0 for span in spans), "blocks are read from their start"
    read = {row for span in spans for row in range(span.start, min(span.stop, 200))}
    for row in range(200 if end is None else end):
        record = records.get(row // block_rows)
        is_sealed = record is not None and row < record.start + record.rows
        assert row in read or is_sealed
        if record is not None and record.block in reopened:
            assert row in read
    if end is not None:
        assert max(read, default=0) < end
    whole = {block for block, record in records.items() if record.rows == block_rows} - reopened
    assert not whole & {row // block_rows for row in read}, "what is sealed is not read"


def test_rows_that_have_a_result_are_not_asked() -> None:
    block = Block(0, 0, 4, results={1: some_result(1), 3: some_result(3)})
    rows = [Row(index, {}) for index in range(4)]
    assert [row.index for row in rows_to_ask(block, rows)] == [0, 2]


@pytest.mark.parametrize(
    ("rows_read", "answered", "complete"),
    [
        (3, [22, 20], False),
        (3, [22, 20, 21], True),
        (2, [22, 20, 21], False),
        (0, [], False),
    ],
)
def test_a_block_is_complete_when_every_row_was_read_and_answered(
    rows_read: int, answered: list[int], *, complete: bool
) -> None:
    results = {row: some_result(row) for row in answered}
    block = Block(2, 20, 23, rows_read=rows_read, results=results)
    assert block.is_complete is complete
    if complete:
        assert [result.row for result in block.hand_over()] == [20, 21, 22]


def test_a_block_with_results_behind_the_scope_is_never_complete() -> None:
    block = Block(0, 0, 1, rows_read=1, results={0: some_result()}, reaches_beyond=True)
    assert not block.is_complete


def test_ids_of_scattered_rows_stay_with_their_rows() -> None:
    block = Block(1, 100, 110)
    block.add_ids(102, [b"a" * 16])
    block.add_ids(105, [b"b" * 16, b"c" * 16])
    assert block.id_of(102) == (b"a" * 16).hex()
    assert block.id_of(104) == ""
    assert [block.id_of(row) for row in (105, 106)] == [(b"b" * 16).hex(), (b"c" * 16).hex()]
