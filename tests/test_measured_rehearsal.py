"""Does a rehearsal go by the answers that a run has, and leave out the rows that have one?"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from some_runs import SomeRun, questions

from jobs.estimate import estimate as estimate_command
from runner import Estimate, Job, Rehearsal, estimate, rehearse
from runner.rehearsal import first_of, rows_left

if TYPE_CHECKING:
    from pathlib import Path

ROWS, DONE = 400, 40
LATENCY_S = 30.0
WORKERS = {"qps": 100, "concurrency": 4}


@pytest.fixture
def run(tmp_path: Path) -> SomeRun:
    """A run that is a tenth done: one block after another, and then one of the last rows."""
    found = SomeRun(tmp_path, questions(ROWS), model="qwen-plus")
    usage: dict[str, Any] = {
        "completion_tokens": 100,
        "reasoning_tokens": 0,
        "total_tokens": 122,
        "cached_tokens": 0,
    }
    usage["cost"] = (22 * 0.4 + 100 * 1.2) / 1e6  # as qwen-plus is billed

    def answer(row: int) -> Any:
        return found.answer(row, latency_s=LATENCY_S, **usage)

    for block in range(DONE // 4 - 1):
        found.seal(block, [answer(block * 4 + at) for at in range(4)])
    found.journal(*(answer(ROWS - at) for at in (1, 3, 5, 7)))
    return found


def rehearsed(run: SomeRun, *, most_rows: int = 10**6, **limits: Any) -> tuple[Estimate, Rehearsal]:
    job = Job.build({"prompt": "{{ text }}", "id_column": "id", "limits": limits})
    found = estimate(job, [str(run.data)], measured_run=run.name)
    return found, rehearse(job, [str(run.data)], found, most_rows=most_rows)


def test_only_the_rows_that_are_left_are_rehearsed_and_take_what_was_measured(
    run: SomeRun,
) -> None:
    estimated, found = rehearsed(run, **WORKERS)
    assert (found.rows, found.of_rows, found.done) == (ROWS - DONE, ROWS - DONE, DONE)
    assert found.seconds == pytest.approx((ROWS - DONE) / 4 * LATENCY_S, rel=0.02)
    [model] = estimated.models
    assert model.to_pay is not None
    assert found.cost is not None
    assert model.time.seconds.low * 0.99 <= found.seconds <= model.time.seconds.high * 1.01
    assert model.to_pay.low <= found.cost <= model.to_pay.high
    assert found.answer_tokens == pytest.approx(100, rel=0.02)


def test_a_part_of_the_rows_left_stands_for_them(run: SomeRun) -> None:
    found = rehearsed(run, most_rows=100, **WORKERS)[1]
    assert (found.rows, found.of_rows, found.done) == (100, ROWS - DONE, DONE)
    assert found.seconds == pytest.approx((ROWS - DONE) / 4 * LATENCY_S, rel=0.05)


def test_what_was_used_and_failed_before_counts_for_the_limits(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": "qwen-plus", "params": {"max_tokens": 100}}
    run = SomeRun(tmp_path, questions(ROWS), **settings)
    run.journal(*(run.failure(row) for row in range(5)))
    run.journal(*(run.answer(row) for row in range(5, 10)))  # 200 tokens in all

    def rehearsal(**limits: Any) -> Rehearsal:
        job = Job.build({**run.run.job.model_dump(mode="json"), "limits": limits})
        estimated = estimate(job, [str(run.data)], measured_run=run.name)
        return rehearse(job, [str(run.data)], estimated)

    enough, too_few = rehearsal(max_total_tokens=1000), rehearsal(max_total_tokens=480)
    assert 0 < enough.rows < ROWS
    assert too_few.rows == 0  # the next may take 287
    assert too_few.stopped is not None
    assert "200 tokens spent" in too_few.stopped
    assert rehearsal(max_failed="5").stopped is None
    assert rehearsal(max_failed="4").stopped == "5 rows have failed, more than --max-failed 4"


def test_a_run_with_all_its_answers_leaves_nothing_to_rehearse(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(8), model="qwen-plus")
    run.seal(0)
    run.seal(1)
    ended = CliRunner().invoke(
        estimate_command,
        [str(run.data), "-p", "{{ text }}", "--id-column", "id", "-o", run.name, "--rehearse"],
        catch_exceptions=False,
    )
    assert ended.exit_code == 0
    assert "rehearsal of qwen-plus: no row is left to be asked" in ended.stdout


def test_the_report_says_that_it_is_for_the_rest_and_what_it_rests_on(run: SomeRun) -> None:
    ended = CliRunner().invoke(
        estimate_command,
        [str(run.data), "-p", "{{ text }}", "--id-column", "id", "-o", run.name, "--rehearse"],
        catch_exceptions=False,
    )
    told = ended.stdout[ended.stdout.index("rehearsal of") :]
    assert "for the rest; by arithmetic" in told
    assert f"attempts  {ROWS - DONE} for {ROWS - DONE} rows" in told
    assert (
        f"USD for the rest, with answers of 100 tokens on average, as measured in {run.name}"
        in (told)
    )


@pytest.mark.parametrize(
    ("same_dataset", "rehearsal", "flags", "goes_on"),
    [
        (True, False, [], True),
        (True, False, ["--rehearse"], False),
        (True, True, [], False),
        (True, True, ["--rehearse"], True),
        (False, False, [], False),
    ],
)
def test_the_next_command_names_the_run_only_where_it_can_go_on_with_it(
    tmp_path: Path, *, same_dataset: bool, rehearsal: bool, flags: list[str], goes_on: bool
) -> None:
    run = SomeRun(tmp_path, questions(12), model="qwen-plus")
    run.seal(0)
    run.folder.write_run(replace(run.run, rehearsal=rehearsal))
    if not same_dataset:
        pq.write_table(questions(11), run.data)
    command = [str(run.data), "-p", "{{ text }}", "--id-column", "id", "-o", run.name, *flags]
    ended = CliRunner().invoke(estimate_command, command, catch_exceptions=False)
    words = shlex.split(ended.stdout.splitlines()[-1])
    assert words[1:3] == ["penstock", "generate"]
    assert (run.name in words) == goes_on
    assert ("--rehearse" in words) == ("--rehearse" in flags)


@pytest.mark.parametrize(
    ("done", "left"),
    [
        ([], [range(10)]),
        ([range(3)], [range(3, 10)]),
        ([range(2, 3), range(3, 4), range(9, 10)], [range(2), range(4, 9)]),
        ([range(4), range(8, 20)], [range(4, 8)]),
        ([range(12)], []),
    ],
)
def test_rows_left_are_those_between_the_ones_that_are_done(
    done: list[range], left: list[range]
) -> None:
    assert rows_left(done, 10) == left


def test_the_first_rows_of_spans_may_end_within_one() -> None:
    spans = [range(2), range(4, 9)]
    assert first_of(spans, 4) == [range(2), range(4, 6)]
    assert first_of(spans, 2) == [range(2)]
    assert first_of(spans, 99) == spans
    assert first_of([], 5) == []
