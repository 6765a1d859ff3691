"""Which answers of a run are looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from some_runs import BLOCK_ROWS, SomeRun, questions

from runner import estimate
from runner.estimate import measured as measured_module

if TYPE_CHECKING:
    from pathlib import Path


def test_of_a_large_pilot_all_blocks_are_looked_at_in_equal_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 20
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


def test_of_a_large_finished_run_its_own_sums_are_told_and_all_blocks_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 20
    monkeypatch.setattr(measured_module, "_MOST", 2 * blocks)
    run = SomeRun(tmp_path, questions(blocks * BLOCK_ROWS), model="qwen-plus")
    for block in range(blocks):
        # The first row of each is unlike the others, and none of those looked at.
        rows = range(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
        tokens = 1000 if block % 2 else 10
        run.seal(block, [
            run.answer(row, completion_tokens=9999 if row == rows.start else tokens,
                       reasoning_tokens=0, cost=0.01)
            for row in rows
        ])  # fmt: skip
    found = estimate(run.run.job, [str(run.data)], measured_run=run.name)
    assert found.measured is not None
    lengths = [one.usage.completion_tokens for one in found.measured.answers]
    assert (lengths.count(10), lengths.count(1000)) == (blocks, blocks)
    [model] = found.models
    assert model.output_source.startswith("as billed")
    whole = blocks * (9999 + 3 * 505)
    assert (model.completion_tokens.low, model.completion_tokens.high) == (whole, whole)
    assert model.prompt_tokens.high == 22 * blocks * BLOCK_ROWS
    assert model.money is not None
    assert model.money.total.low == model.money.total.high == pytest.approx(0.01 * 80)
    assert model.to_pay is not None
    assert model.to_pay.high == pytest.approx(0, abs=1e-9)


def test_a_run_that_reaches_beyond_the_scope_is_not_billed_to_it(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(40), model="qwen-plus")
    for block in range(10):
        run.seal(block)
    job = run.run.job.model_copy(update={"first": 10})
    [model] = estimate(job, [str(run.data)], measured_run=run.name).models
    assert model.output_per_request.low <= 18 <= model.output_per_request.high < 20
    assert model.money is not None
    assert model.money.total.high < 15 * 0.000123
    assert "measured on 40 answers" in model.output_source
    assert model.to_pay is not None
    assert (model.to_pay.low, model.to_pay.high) == (0, 0)
