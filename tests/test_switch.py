"""A switch of layout is whole or has not happened, whatever stops it and whoever looks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crash import Crash, Killed
from some_results import some_bill, some_result
from some_runs import SomeRun, questions

from runner.errors import MachineFault, RunFolderError
from runner.journal import encode_line
from runner.kept import Kept
from runner.plan import plan
from runner.preflight import prepare
from runner.records import Unfinished
from runner.switch import set_aside, settle, switch, take_up

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.folder import RunFile

ROWS = 10  # blocks of four


def begun(place: Path) -> SomeRun:
    """A run of ten rows: block 0 sealed, block 1 failed once, block 2 in the journal by half."""
    place.mkdir(exist_ok=True)
    some = SomeRun(place, questions(ROWS), model="qwen-plus")
    some.seal(0)
    some.seal(1, [some.answer(4), some.failure(5), some.answer(6), some.answer(7)])
    some.journal(some.answer(8))
    return some


def rewrite(some: SomeRun, ids: Iterable[int], *, edited: int | None = None) -> None:
    """The dataset anew: these of its rows, one of them with another text."""
    table = questions(ROWS)
    texts = ["other" if row == edited else f"question {row}" for row in range(ROWS)]
    table = table.set_column(1, "text", pa.array(texts))
    pq.write_table(table.take(pa.array(list(ids))), some.data)


def accept(some: SomeRun, run: RunFile, *, keep_answered: bool = False) -> RunFile:
    flight = prepare(run.job, run.paths)
    new = run.over(run.paths, flight.dataset.stamp())
    new = replace(new, digest=None)
    return switch(
        some.folder, run, new, flight, keep_answered=keep_answered, say=lambda _: None
    )  # fmt: skip


def completions(some: SomeRun, run: RunFile) -> dict[int, str | None]:
    """What a reader finds."""
    kept = Kept(some.folder, run)
    return {
        row: result.completion
        for block in kept.blocks()
        for row, result in kept.results(block).items()
    }


def sealed(some: SomeRun, run: RunFile) -> list[int]:
    return some.folder.seals(run).blocks()


BEFORE = {row: None if row == 5 else f"answer {row}" for row in range(9)}
# Rows in reverse: 9 was pending, 5 a failure, 2 is edited.
AFTER = {9 - row: text for row, text in BEFORE.items() if row != 2}


def test_answers_follow_their_rows_and_whole_blocks_are_sealed_at_once(tmp_path: Path) -> None:
    some = begun(tmp_path)
    rewrite(some, reversed(range(ROWS)), edited=2)
    run = accept(some, some.folder.read_run())
    assert completions(some, run) == AFTER
    assert sealed(some, run) == [2], "rows 8 and 9; row 0 is pending, row 7 another one now"
    assert run.superseded["0001"]["rows"] == 1
    assert run.switch is None
    assert some.folder.read_run() == run
    assert not some.folder.next.exists()


def test_answers_of_changed_rows_stand_where_that_is_wanted(tmp_path: Path) -> None:
    some = begun(tmp_path)
    rewrite(some, range(ROWS), edited=2)
    run = accept(some, some.folder.read_run(), keep_answered=True)
    assert completions(some, run) == BEFORE
    assert run.superseded_total() is None


def test_the_layout_before_is_kept_as_it_was(tmp_path: Path) -> None:
    some = begun(tmp_path)
    names = ("journal", "completions", "seals")
    before = {path.name: path.read_bytes() for one in names for path in
              (some.folder.path / one).iterdir()}  # fmt: skip
    before["run.json"] = (some.folder.path / "run.json").read_bytes()
    rewrite(some, [1, 0])
    run = accept(some, some.folder.read_run())
    aside = some.folder.superseded / "0001"
    kept = {path.name: path.read_bytes() for path in aside.glob("**/*") if path.is_file()}
    assert kept == before
    rewrite(some, [1])
    accept(some, run)
    assert sorted(path.name for path in some.folder.superseded.iterdir()) == ["0001", "0002"]


def test_a_crash_at_any_step_leaves_the_old_layout_or_the_new_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone = finished = 0
    for after in range(200):
        some = begun(tmp_path / str(after))
        rewrite(some, reversed(range(ROWS)), edited=2)
        with monkeypatch.context() as patch:
            crash = Crash(patch, after=after)
            with suppress(Killed):
                accept(some, some.folder.read_run())
        there = some.folder.read_run()
        seen = completions(some, there)
        assert seen in (BEFORE, AFTER), f"a reader between, after {after} calls"
        some.folder.prepare()  # as every start does, before it has the lock
        run = settle(some.folder, there)
        assert completions(some, run) == seen, "settling changes nothing that was there"
        assert run == settle(some.folder, run)
        assert not some.folder.next.exists()
        if not crash.happened:
            break
        if seen == BEFORE:
            undone += 1
            assert not some.folder.superseded.exists()
            run = accept(some, run)
        else:
            finished += 1
        assert completions(some, run) == AFTER
        assert run.superseded["0001"]["rows"] == 1, "what was paid for is counted once"
    assert undone > 20
    assert finished > 15


def test_a_crash_while_a_switch_is_finished_is_finished_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = begun(tmp_path)
    rewrite(some, reversed(range(ROWS)), edited=2)
    write_run = some.folder.write_run
    with monkeypatch.context() as patch:

        def die(run: RunFile) -> None:
            write_run(run)
            raise Killed

        patch.setattr(type(some.folder), "write_run", lambda _, run: die(run))
        with suppress(Killed):
            accept(some, some.folder.read_run())
    assert some.folder.read_run().switch == "0001"
    for after in range(100):
        with monkeypatch.context() as patch:
            crash = Crash(patch, after=after)
            with suppress(Killed):
                settle(some.folder, some.folder.read_run())
        assert completions(some, some.folder.read_run()) == AFTER
        if not crash.happened:
            break
    assert after > 3
    assert some.folder.read_run().switch is None


def test_damaged_blocks_are_set_aside_at_any_crash_and_paid_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0
    for after in range(100):
        some = begun(tmp_path / str(after))
        run = some.folder.read_run()
        for block in (0, 1):
            some.folder.seals(run).part(block).write_bytes(b"x")
        with monkeypatch.context() as patch:
            crash = Crash(patch, after=after)
            with suppress(Killed):
                set_aside(some.folder, run, some.folder.seals(run).examine(verify=True)[1])
        run = settle(some.folder, some.folder.read_run())
        damaged = some.folder.seals(run).examine(verify=True)[1]
        if damaged:
            run = set_aside(some.folder, run, damaged)
        assert completions(some, run) == {8: "answer 8"}
        total = run.superseded_total()
        assert total is not None
        assert total["rows"] == 8
        if not crash.happened:
            break
        deaths += 1
    assert deaths > 10


def test_a_full_disk_leaves_the_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = begun(tmp_path)
    rewrite(some, reversed(range(ROWS)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = some.folder.read_run()
    with monkeypatch.context() as patch:
        patch.setattr("runner.rebuilding.seal_block", full)
        with pytest.raises(MachineFault, match="the disk is full"):
            accept(some, run)
    assert not some.folder.next.exists()
    assert completions(some, some.folder.read_run()) == BEFORE


def test_a_start_whose_run_was_switched_meanwhile_is_refused(tmp_path: Path) -> None:
    some = begun(tmp_path)
    before = some.folder.read_run()
    rewrite(some, [1, 0])
    accept(some, before)
    with pytest.raises(RunFolderError, match="just been changed by another process"):
        take_up(some.folder, before)


def test_results_without_a_request_are_judged_anew(tmp_path: Path) -> None:
    some = begun(tmp_path)
    some.journal(some_result(9, key="", completion=None, error_type="template"))
    rewrite(some, range(ROWS), edited=2)
    run = accept(some, some.folder.read_run())
    assert 9 not in completions(some, run)


def test_what_attempts_in_vain_have_cost_stays_with_the_run(tmp_path: Path) -> None:
    some = begun(tmp_path)
    bill = Unfinished(9, 2, 1, 10, 5, 15, 0, 0, 0.5, "USD")
    with (some.folder.journal / "00002.jsonl").open("ab") as file:
        file.write(encode_line(bill))
    rewrite(some, range(ROWS - 1))
    total = accept(some, some.folder.read_run()).superseded_total()
    assert total == {
        "rows": 0, "requests": 2, "unmetered_attempts": 1, "total_tokens": 15, "cost": 0.5,
        "currency": "USD",
    }  # fmt: skip


def test_a_failure_in_a_damaged_block_keeps_the_bill_of_later_attempts(tmp_path: Path) -> None:
    some = begun(tmp_path)
    some.journal(some.failure(5, attempts=1))
    with (some.folder.journal / "00001.jsonl").open("ab") as file:
        file.write(encode_line(some_bill(5, attempts=7, cost=0.25)))
    some.folder.seals(some.folder.read_run()).part(1).write_bytes(b"x")
    rewrite(some, reversed(range(ROWS)), edited=2)
    run = accept(some, some.folder.read_run())
    (failure,) = Kept(some.folder, run).failures(1).values()
    assert (failure.row, failure.attempts, failure.cost) == (4, 7, 0.25)


def test_a_plan_of_a_run_in_mid_switch_sees_it_whole(tmp_path: Path) -> None:
    some = begun(tmp_path)
    rewrite(some, range(ROWS), edited=2)
    found = plan(some.name)
    assert (found.succeeded, found.failed, found.other_input, found.pending) == (7, 1, 1, 1)
    assert found.models == {"qwen-plus": 7}
