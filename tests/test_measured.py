"""Which answers of a run are looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from some_runs import BLOCK_ROWS, SomeRun, questions

from runner import estimate
from runner.estimate import measured as measured_module

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_of_a_large_pilot_all_blocks_are_looked_at_in_equal_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 2 * measured_module._MOST_BLOCKS
    monkeypatch.setattr(measured_module, "_MOST", blocks)
    run = SomeRun(tmp_path, questions(blocks * BLOCK_ROWS), model="qwen-plus")
    asked = [row for row in range(blocks * BLOCK_ROWS) if row % BLOCK_ROWS]
    run.folder.write_run(replace(run.run, pilot=tuple(asked)))
    # The answers of every other block are of another kind than those between them.
    run.journal(
        *(run.answer(row, completion_tokens=5 if row // BLOCK_ROWS % 2 else 95) for row in asked)
    )
    found = estimate(run.run.job, [str(run.data)], measured_run=run.name).measured
    assert found is not None
    assert found.pilot
    lengths = [one.usage.completion_tokens for one in found.answers]
    assert (lengths.count(5), lengths.count(95)) == (blocks // 2, blocks // 2)
