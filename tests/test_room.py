"""Reading waits for memory alone, and never while workers that fit into it have nothing to do."""

from __future__ import annotations

import asyncio

import pytest
from some_results import some_result

from runner.blocks import Block
from runner.room import (
    ASKED_BYTES,
    LEAST_OPEN_ROWS,
    MOST_ANSWERED_BYTES,
    MOST_ANSWERED_BYTES_OF_FEW,
    MOST_ASKED_BYTES,
    MOST_COMPLETE_BYTES,
    MOST_OPEN_BLOCKS,
    Held,
    Room,
    Wait,
    held_by,
    wait_for,
)

MANY = MOST_OPEN_BLOCKS + 1


def block(
    index: int, *, rows: int, answered: int, row_bytes: int, read: int | None = None
) -> Block:
    """A block of which the last rows are answered: the first ones are the stragglers."""
    start, read = index * rows, rows if read is None else read
    results = {row: some_result(row) for row in range(start + read - answered, start + read)}
    return Block(
        index, start, start + rows, rows_read=read, unanswered=read - answered,
        open_bytes=read * row_bytes, results=results,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("held", "workers", "expected"),
    [
        (Held(0, 0, 0, 0, 0, 0), 200, Wait.NO),
        # One block alone has to be read to its end, whatever it holds.
        (Held(1, 5000, MOST_ASKED_BYTES * 2, 5000, MOST_ANSWERED_BYTES_OF_FEW * 2, 0), 1, Wait.NO),
        # Usual rows: the intake keeps reading in check, not memory.
        (Held(3, 700, 2 << 20, 9000, 20 << 20, 0), 200, Wait.NO),
        # Rows of 25 kB: a little ahead of the workers, no more.
        (Held(3, 399, ASKED_BYTES + 1, 0, 0, 0), 200, Wait.NO),
        (Held(3, 400, ASKED_BYTES + 1, 0, 0, 0), 200, Wait.AHEAD),
        (Held(3, 400, ASKED_BYTES, 0, 0, 0), 200, Wait.NO),
        # 1,000 workers with rows of 100 kB are kept busy.
        (Held(20, 1100, 110_000_000, 0, 0, 0), 1000, Wait.NO),
        (Held(20, 1350, MOST_ASKED_BYTES + 1, 0, 0, 0), 1000, Wait.AHEAD),
        # With still larger ones they are not, and that has to be told.
        (Held(90, 600, MOST_ASKED_BYTES + 1, 0, 0, 0), 1000, Wait.MEMORY),
        # Enough rows to tell bad ones from a configuration that is refused.
        (Held(24, LEAST_OPEN_ROWS, MOST_ASKED_BYTES * 2, 0, 0, 0), 1, Wait.NO),
        (Held(25, LEAST_OPEN_ROWS + 1, MOST_ASKED_BYTES * 2, 0, 0, 0), 1, Wait.AHEAD),
        # Behind a straggler: many blocks, or few that hold much.
        (Held(MANY, 9, 1, 9000, MOST_ANSWERED_BYTES, 0), 200, Wait.NO),
        (Held(MANY, 9, 1, 9000, MOST_ANSWERED_BYTES + 1, 0), 200, Wait.BEHIND),
        (Held(MANY - 1, 9, 1, 9000, MOST_ANSWERED_BYTES + 1, 0), 200, Wait.NO),
        (Held(2, 9, 1, 9000, MOST_ANSWERED_BYTES_OF_FEW + 1, 0), 200, Wait.BEHIND),
        # Sealing lags behind, however few the rows.
        (Held(6, 2, 1 << 20, 5, MOST_COMPLETE_BYTES, MOST_COMPLETE_BYTES), 200, Wait.NO),
        (Held(6, 2, 1 << 20, 5, 1 << 25, MOST_COMPLETE_BYTES + 1), 200, Wait.SEALING),
    ],
)  # fmt: skip
def test_reading_waits_by_what_is_held_and_wanted(held: Held, workers: int, expected: Wait) -> None:
    assert wait_for(held, workers) is expected


def test_what_is_held_is_told_apart_by_what_it_waits_for() -> None:
    straggling = block(0, rows=10, answered=8, row_bytes=100)
    complete = block(1, rows=10, answered=10, row_bytes=50)
    being_read = block(2, rows=10, answered=1, row_bytes=100, read=4)
    scattered = Block(3, 30, 40, results={31: some_result(31)})  # a pilot's: inputs are not held
    blocks = [straggling, complete, being_read, scattered]
    expected = Held(4, 2 + 3, 200 + 300, 8 + 10 + 1, 800 + 500 + 100, 500)
    assert held_by(blocks) == expected
    complete.hand_over()  # it counts until its part is written
    assert held_by(blocks) == expected


async def waiting_for(blocks: list[Block], workers: int) -> tuple[Room, list[str]]:
    """A room that is asked for twice, and what it said."""
    said: list[str] = []
    room = Room(said.append)
    for _ in range(2):
        waiting = asyncio.create_task(room.wait(blocks, workers))
        await asyncio.sleep(0)
        assert room.is_full == (not waiting.done())
        waiting.cancel()
    return room, said


async def test_a_straggler_is_named_once() -> None:
    heavy = MOST_ANSWERED_BYTES_OF_FEW // 20
    blocks = [block(index, rows=20, answered=19, row_bytes=heavy) for index in (3, 4)]
    being_sealed = block(2, rows=20, answered=20, row_bytes=1)
    being_sealed.hand_over()
    room, said = await waiting_for([being_sealed, *blocks], 200)
    assert said == [
        (
            "Reading waits: 3 blocks are open behind rows that are still being tried, the first of "
            "them row 60."
        )
    ]
    room.look(blocks[:1])
    assert not room.is_full


async def test_workers_that_memory_keeps_idle_are_told() -> None:
    blocks = [block(index, rows=50, answered=0, row_bytes=2 << 20) for index in (0, 1)]
    _, said = await waiting_for(blocks, 1000)
    assert said == [
        (
            "Reading waits: 100 rows are being asked (210 MB), and no more at once fit into "
            "memory, so some of 1,000 workers idle."
        )
    ]
    _, said = await waiting_for(blocks, 50)
    assert said == [], "they have enough to do"


async def test_a_slow_disk_is_told() -> None:
    blocks = [block(index, rows=4, answered=4, row_bytes=4 << 20) for index in range(4)]
    _, said = await waiting_for(blocks, 200)
    assert said == [
        (
            "Reading waits: finished blocks of 67 MB have to be written first; answers come faster "
            "than this disk and processor take them."
        )
    ]
