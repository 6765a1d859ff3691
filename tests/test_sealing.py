"""A block's results become columns in slices: none lost, each with its own key, nobody held up."""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from some_results import some_result

from runner import output, sealing
from runner.errors import MachineFault
from runner.output import SLICE_ROWS, result_schema, results_of
from runner.part_files import read_columns
from runner.sealing import Sealing, seal_block
from runner.seals import Seals

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from runner.job import Format
    from runner.records import Result

SCHEMA = result_schema("")


def seals_in(folder: Path, kind: Format = "parquet") -> Seals:
    for name in ("completions", "seals"):
        (folder / name).mkdir()
    return Seals(folder / "completions", folder / "seals", kind)


def distinct(rows: int) -> list[Result]:
    """Results of which each has a key, an id and unmetered attempts of its own; some have none."""
    return [
        some_result(
            row,
            key=f"{row + 1:032x}" if row % 3 else "",
            row_id=f"{row + 7:032x}" if row % 5 else "",
            unmetered_attempts=row % 4,
        )
        for row in range(rows)
    ]


def test_a_block_of_many_slices_keeps_what_belongs_to_each_row(tmp_path: Path) -> None:
    results = distinct(2 * SLICE_ROWS + 1)
    seals = seals_in(tmp_path)
    record = seal_block(seals, 0, [], list(results), SCHEMA, "")
    assert (record.start, record.rows, record.tally.rows) == (0, len(results), len(results))
    table = read_columns(seals.part(0), "parquet", SCHEMA)
    assert list(results_of(table, "", seals.keys(record), record.unmetered)) == results


def test_ids_that_only_a_late_slice_has_stay_with_their_rows(tmp_path: Path) -> None:
    results = [replace(one, row_id="") for one in distinct(SLICE_ROWS + 2)]
    results[-1] = replace(results[-1], row_id="ab" * 16)
    seals = seals_in(tmp_path)
    record = seal_block(seals, 0, [], list(results), SCHEMA, "")
    assert [row_id for _, row_id in seals.keys(record)] == [one.row_id for one in results]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_part_that_cannot_be_written_tells_its_size_and_where_the_answers_are(
    tmp_path: Path, kind: Format
) -> None:
    seals = seals_in(tmp_path, kind)

    def gathered() -> Sealing:
        sealing = Sealing(distinct(2 * SLICE_ROWS + 1), SCHEMA, "")
        deque(sealing.gather(), maxlen=0)
        return sealing

    size = gathered().seal_journalled(seals, 0, []).part_bytes
    shutil.rmtree(seals.parts)
    with pytest.raises(MachineFault) as caught:
        gathered().seal_journalled(seals, 0, [])
    assert str(caught.value).endswith(f"safe in the journal; the part needs about {size:,} bytes")


async def turns_for(slices: int, others_s: float, patch: pytest.MonkeyPatch) -> int:
    """Turns of the event loop while so many slices of 10 ms are gathered beside others' work."""
    now_s, turns = 0.0, 0
    columns = output.result_columns

    def take_a_while(results: list[Result], prefix: str) -> pa.RecordBatch:
        nonlocal now_s
        now_s += 0.01
        return columns(results, prefix)

    async def others() -> None:
        nonlocal now_s, turns
        while True:
            now_s += others_s
            turns += 1
            await asyncio.sleep(0)

    patch.setattr(sealing, "result_columns", take_a_while)
    patch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    working = asyncio.create_task(others())
    await Sealing(distinct(slices * SLICE_ROWS), SCHEMA, "").gather_between()
    working.cancel()
    return turns


async def test_gathering_lets_others_work_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await turns_for(20, 0.001, monkeypatch) == 20


async def test_gathering_keeps_step_where_a_turn_of_the_loop_is_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await turns_for(20, 0.1, monkeypatch) <= 3
