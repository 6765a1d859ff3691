"""A run whose process died while it sealed a block is read as if it had not been sealing."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from crash import Crash, Killed
from some_runs import BLOCK_ROWS, SomeRun, questions

from runner.errors import MachineFault
from runner.export import export
from runner.kept import Kept
from runner.plan import plan
from runner.shown import ShownRows
from runner.status import summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.records import Result

ROWS = 6  # a block of four, and one with a pending row

pytestmark = pytest.mark.parametrize("anew", [False, True], ids=["sealed", "sealed anew"])


def died(place: Path, patch: pytest.MonkeyPatch, *, anew: bool) -> Iterator[SomeRun]:
    """A run that died at its first call to the disk while it sealed, at its second, and so on."""
    for after in range(100):
        (place / str(after)).mkdir()
        run = SomeRun(place / str(after), questions(ROWS), model="qwen-plus")
        whole = [run.answer(row, completion=f"last {row}") for row in range(BLOCK_ROWS)]
        if anew:
            run.seal(0, [run.answer(0, completion="last 0"), run.failure(1)])
        run.journal(*whole[1 if anew else 0 :], run.answer(4))
        with patch.context() as crashing:
            crash = Crash(crashing, after=after)
            with suppress(Killed):
                run.seal(0, whole)
        yield run
        if not crash.happened:
            assert after > 10, "so many steps there are at least"
            return
    pytest.fail("it never came to an end")


def completions(results: dict[int, Result]) -> list[str | None]:
    return [one.completion for one in results.values()]


LAST = [f"last {row}" for row in range(BLOCK_ROWS)]


def test_what_is_kept_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    for run in died(tmp_path, monkeypatch, anew=anew):
        kept = Kept(run.folder, run.run)
        assert kept.blocks() == [0, 1]
        assert completions(kept.results(0)) == LAST
        assert completions(kept.results(0, range(1, 2))) == LAST[1:2]
        assert kept.failures(0) == {}
        assert [one.row_id.hex() for one in kept.outlines(0).values()] == [
            run.answer(row).row_id for row in range(BLOCK_ROWS)
        ]
        tally = kept.tally()
        assert (tally.rows, tally.failed) == (5, 0)


def test_every_command_tells_what_it_would_tell_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    for run in died(tmp_path, monkeypatch, anew=anew):
        assert summary_of(run.folder, run.run, run.name).tally.succeeded == 5
        file = tmp_path / "out.parquet"
        export(run.folder, run.run, file, with_pending=True, overwrite=True)
        assert pq.read_table(file)["completion"].to_pylist() == [*LAST, "answer 4", None]
        shown = ShownRows(run.folder, run.run)
        assert [one.status for one in shown.first(9)] == ["succeeded"] * 5
        one = shown.row(1)
        assert one is not None
        assert one.result is not None
        assert one.result.completion == "last 1"


def test_a_plan_says_what_a_plain_resume_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    for run in died(tmp_path, monkeypatch, anew=anew):
        for found in (plan(run.name), plan(run.name, verify=True)):
            assert (found.damaged, found.flags) == ([], [])
            assert (found.succeeded, found.failed, found.to_ask) == (5, 0, 1)
        # With a drift every answer is read.
        found = plan(run.name, changes={"params": {"temperature": 0.5}})
        assert (found.damaged, found.other_job, found.pending) == ([], 5, 1)
        seals = run.folder.seals(run.run)
        seals.mend()
        assert set(seals.records()) <= {0}


def test_damage_is_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    told = 0
    for run in died(tmp_path, monkeypatch, anew=anew):
        part = run.folder.seals(run.run).part(0)
        if not part.exists():
            continue
        with part.open("r+b") as file:
            file.truncate(100)
        if run.folder.seals(run.run).blocks():
            with pytest.raises(MachineFault, match=r"part-00000\.parquet"):
                Kept(run.folder, run.run).results(0)
        (flaw,) = plan(run.name).damaged
        assert flaw.path == part
        told += 1
        shutil.rmtree(run.folder.path)
    assert told >= 4
