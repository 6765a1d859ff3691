"""How a run stands: told by itself, or counted when it cannot tell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
import pytest
from some_runs import SomeRun, questions

from runner.status import pace_of, runs_below, summary_of
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from runner.summary import Summary


@pytest.fixture
def run(tmp_path: Path) -> SomeRun:
    """Four rows sealed, one failed row in a journal; the last summary knew of two rows."""
    made = SomeRun(tmp_path, questions(12))
    made.seal(0)
    made.journal(made.failure(7))
    return made


def summary(run: SomeRun) -> Summary:
    return summary_of(run.folder, run.run, "name")


def test_a_living_run_tells_itself(run: SomeRun) -> None:
    with run.folder.lock():
        run.tell(state="waiting", tally=Tally(rows=2), in_flight=3)
        found = summary(run)
    assert (found.state, found.tally.rows, found.in_flight) == ("waiting", 2, 3)
    assert (found.run, found.next) == ("name", "penstock status name --follow")


def test_a_run_that_has_ended_is_believed(run: SomeRun) -> None:
    with run.folder.lock():
        run.tell(state="finished", tally=Tally(rows=12, failed=1), exit_status=1)
        assert summary(run).state == "finished"  # its last word, before it lets go of the lock
    found = summary(run)
    assert (found.state, found.exit_status, found.tally.rows) == ("finished", 1, 12)
    assert found.next == "penstock show name --failed"


def test_the_flag_that_mends_a_stopped_run_is_in_the_next_command(run: SomeRun) -> None:
    with run.folder.lock():
        run.tell(state="stopped", exit_status=3, mend="--base-url URL")
    assert summary(run).next == "penstock resume name --base-url URL"


def test_a_run_whose_process_is_gone_is_counted_from_what_it_kept(run: SomeRun) -> None:
    with run.folder.lock():
        run.tell(tally=Tally(rows=2), elapsed_s=7.5)
    found = summary(run)
    assert (found.state, found.tally.rows, found.tally.failed) == ("dead", 5, 1)
    assert (found.rows, found.pending, found.exit_status) == (12, 7, None)
    assert (found.elapsed_s, found.next) == (7.5, "penstock resume name")
    assert found.message is not None
    assert "did not say why" in found.message


def test_a_resume_that_died_before_it_told_anything_is_dead(run: SomeRun) -> None:
    run.tell(state="interrupted", exit_status=130, tally=Tally(rows=2))
    with run.folder.lock():
        pass
    found = summary(run)
    assert (found.state, found.tally.rows) == ("dead", 5)


def test_a_start_that_was_refused_leaves_the_last_word_as_it_was(run: SomeRun) -> None:
    run.tell(state="finished", exit_status=1, tally=Tally(rows=12, failed=1), layout=0)
    with run.folder.lock():
        pass
    found = summary(run)
    assert (found.state, found.exit_status, found.tally.rows) == ("finished", 1, 12)


def test_a_run_that_has_just_been_taken_up_is_running(run: SomeRun) -> None:
    run.tell(state="interrupted", exit_status=130, tally=Tally(rows=2))
    with run.folder.lock():
        found = summary(run)
    assert (found.state, found.tally.rows, found.message) == ("running", 5, None)


def test_without_any_summary_the_results_are_counted(run: SomeRun) -> None:
    assert summary(run).state == "dead"
    with run.folder.lock():
        assert summary(run).state == "running"
    assert summary(run).tally.rows == 5


def test_rows_are_those_in_scope_and_unknown_before_the_end_is(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    some = SomeRun(tmp_path / "some", questions(12), first=5)
    assert summary(some).rows == 5
    unknown = SomeRun(tmp_path, questions(12), known_end=False, first=5)
    assert summary(unknown).rows is None
    unknown.tell(rows=5)
    assert summary(unknown).rows == 5


@pytest.mark.parametrize(("begun", "is_told"), [(0, True), (100, True), (None, False)])
def test_a_last_word_that_was_begun_and_is_not_whole_makes_a_full_disk_likely(
    run: SomeRun, begun: int | None, *, is_told: bool
) -> None:
    with run.folder.lock():
        run.tell(tally=Tally(rows=2))
    temporary = run.folder.path / ".summary.json.tmp"
    temporary.write_bytes(run.folder.summary.read_bytes()[:begun])
    message = str(summary(run).message)
    assert (f"Perhaps the disk was full: {temporary} was begun" in message) is is_told
    temporary.unlink()
    assert "Perhaps" not in str(summary(run).message)


def test_looking_changes_nothing(run: SomeRun) -> None:
    path = run.folder.journal / "00001.jsonl"
    path.write_bytes(path.read_bytes() + b'{"row":')  # torn; only the run itself may mend it
    before = {path: path.read_bytes() for path in run.folder.path.rglob("*") if path.is_file()}
    summary(run)
    after = {path: path.read_bytes() for path in run.folder.path.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_with_a_lost_part_names_it_and_the_command_that_looks(
    run: SomeRun, *, ended: bool
) -> None:
    if ended:
        run.tell(state="stopped", tally=Tally(rows=5, failed=1), exit_status=3)
    run.folder.seals(run.run).part(0).unlink()
    found = summary(run)
    (flaw,) = found.damaged
    assert str(flaw).endswith("is missing: its 4 rows (from row 0) were answered and paid for")
    assert found.next == "penstock plan name --verify"
    assert found.tally.rows == (5 if ended else 1)


def test_a_dead_run_with_fewer_results_than_it_counted_says_so(run: SomeRun) -> None:
    run.tell(tally=Tally(rows=5), layout=0, most_in_flight=2, killed_attempts=1)
    assert summary(run).damaged == []
    assert summary(run).killed_attempts == 3, "those of this process come on top"
    (run.folder.journal / "00001.jsonl").unlink()
    (flaw,) = summary(run).damaged
    assert "5 rows had a result when the last summary was written, and 4 have one now" in str(flaw)


def test_a_dead_run_names_a_journal_file_that_was_renamed(run: SomeRun) -> None:
    run.tell(tally=Tally(rows=5))
    path = run.folder.journal / "00001.jsonl"
    path.rename(path.with_name("00002.jsonl"))
    (flaw,) = summary(run).damaged
    assert flaw.path.name == "00002.jsonl"
    assert flaw.remedy == f"give it back its name ({path})"


def test_the_pace_is_the_last_whole_measure_and_the_rest_is_reckoned_from_it(run: SomeRun) -> None:
    line = {"at": time.time(), "requests": 10, "requests_per_s": 2.0}
    old = {"at": time.time() - 3600, "requests": 10, "requests_per_s": 9.0}
    run.tell(tally=Tally(rows=4, requests=8))
    with run.folder.lock():
        run.tell(tally=Tally(rows=4, requests=8))
        found = summary(run)
    assert pace_of(run.folder, found) is None
    run.folder.measures.write_bytes(orjson.dumps(old) + b"\n")
    assert pace_of(run.folder, found) is None
    run.folder.measures.write_bytes(b"\n".join(map(orjson.dumps, (old, line))) + b'\n{"at":')
    # 8 rows are left, each takes 2 requests, and 2 requests go a second
    assert pace_of(run.folder, found) == (2.0, 8.0)
    for state, pace in (("draining", (2.0, None)), ("paused", None), ("waiting", None)):
        found.state = state
        assert pace_of(run.folder, found) == pace, "nobody knows when it goes on"


def test_runs_are_found_three_levels_down_and_not_inside_each_other(tmp_path: Path) -> None:
    for name in ("b", "a/b", "b/inside", "x/y/z", "x/y/too/deep", ".hidden"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "run.json").touch()
    found = [str(folder.path.relative_to(tmp_path)) for folder in runs_below(tmp_path)]
    assert found == ["a/b", "b", "x/y/z"]
    assert [folder.path for folder in runs_below(tmp_path / "b")] == [tmp_path / "b"]
