"""However a part is lost, each bill is in the run's totals once, and none is left out."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from crash import Killed
from dying import Fault
from processes import penstock
from small_folder import Small
from some_results import some_bill, some_failure, some_result
from some_runs import SomeRun, questions
from trials import Trial, ended

from runner.asked_again import Retry
from runner.journal import JournalFile, decode_line
from runner.kept import Kept
from runner.preflight import prepare
from runner.records import Unfinished
from runner.soundness import bill_of_missing, examine
from runner.switch import set_aside, settle, switch
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.folder import RunFile
    from runner.records import Result

# The last block, so that nothing is on its way when it has been sealed.
PART, JOURNAL, BLOCK = "completions/part-00004.parquet", "journal/00004.jsonl", 44


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (Fault("append", JOURNAL, 40, "after"), BLOCK - 20),
        (Fault("remove", JOURNAL, 1, "before"), 0),
    ],
    ids=["asked again", "sealed anew"],
)
def test_a_part_damaged_after_a_kill_leaves_the_totals_as_the_server_counted(
    trial: Trial, fault: Fault, again: int
) -> None:
    alone = ("--concurrency", "1")  # so that a kill loses no reply on its way
    before = trial.server.stats()
    first = penstock(*trial.generate("--param", "max_tokens=1"), *alone, cwd=trial.place)
    assert first.status == 0, first.err
    retry = ("resume", "out", "--retry", "length", "--param", "max_tokens=900", *alone)
    killed = ended([*fault.arguments(), *retry], trial.place)
    assert killed.status == -9, killed.err
    flip(trial.run / PART)
    assert penstock("plan", "out", "--verify", cwd=trial.place).status == 5
    asked = trial.asked()
    done = penstock("resume", "out", "--accept-changes", "--json", *alone, cwd=trial.place)
    assert done.status == 0, done.err
    assert trial.asked() - asked == again
    total, stats = done.json(), trial.server.stats()
    aside = total.get("superseded", dict.fromkeys(total, 0))
    assert aside["requests"] + total["requests"] == trial.asked()
    assert aside["total_tokens"] + total["total_tokens"] == sum(
        stats[kind] - before[kind] for kind in ("prompt_tokens", "completion_tokens")
    )
    assert (total["pending"], aside["rows"]) == (0, again)


def of(attempts: int) -> dict[str, Any]:
    """A bill of a cent for each attempt."""
    return {
        "attempts": attempts, "cost": attempts / 100, "currency": "USD", "unmetered_attempts": 0,
        "total_tokens": 10 * attempts,
    }  # fmt: skip


def in_vain(row: int, attempts: int) -> Unfinished:
    return some_bill(row, **of(attempts))


def noted(some: SomeRun, part: str) -> Unfinished:
    return Unfinished.in_part(some.failure(1, **of(1)), part)


Case = tuple[SomeRun, int, int]
# Of a block of four rows whose part holds 0 to 2, with one attempt each: what its journal holds
# beside it, the attempts that makes in all, and how many results are lost with the part.
LATER: dict[str, tuple[Callable[[SomeRun, str], list[Result | Unfinished]], int, int]] = {
    "nothing": (lambda *_: [], 3, 3),
    "about to be asked": (lambda some, part: [noted(some, part)], 3, 3),
    "answered": (lambda some, part: [noted(some, part), some.answer(1, **of(3))], 5, 2),
    "asked in vain": (lambda some, part: [noted(some, part), in_vain(1, 3)], 5, 3),
    "asked twice": (
        lambda some, part: [
            *(noted(some, part), some.failure(1, **of(3))),
            *(noted(some, part), in_vain(1, 4)),
        ],
        6,
        2,
    ),
    "sealed anew with it": (
        lambda some, _: [noted(some, "the part before"), some.failure(1, **of(1))],
        3,
        2,
    ),
    "of a row behind the part": (lambda some, _: [some.answer(3, **of(2))], 5, 3),
}


@pytest.fixture(params=LATER)
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Case:
    """Such a run, its part damaged; all its attempts; the results that are lost."""
    later, attempts, lost = LATER[request.param]
    some = SomeRun(tmp_path, questions(5), model="qwen-plus")
    part = [some.answer(0, **of(1)), some.failure(1, **of(1)), some.answer(2, **of(1))]
    some.seal(0, part)
    record = some.folder.seals(some.run).record(0)
    assert record is not None
    some.journal(*later(some, record.part_sha256), some.answer(4, **of(1)))
    flip(some.folder.seals(some.run).part(0))
    return some, attempts + 1, lost


def assert_each_bill_counts_once(case: Case, run: RunFile) -> None:
    some, attempts, lost = case
    total = Kept(some.folder, run).tally()
    total.merge(run.paid_before)
    assert (total.requests, total.total_tokens) == (attempts, 10 * attempts)
    assert total.cost == attempts / 100
    assert run.paid_before.rows == lost


def test_of_a_part_set_aside_only_what_no_line_counts_is_superseded(case: Case) -> None:
    some = case[0]
    run = set_aside(some.folder, some.run, examine(some.folder, some.run, verify=True))
    assert_each_bill_counts_once(case, run)


def test_so_it_is_where_a_crash_came_before_the_sum_was_entered(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = case[0]
    with monkeypatch.context() as patch:
        patch.setattr(type(some.folder), "write_run", killed)
        with suppress(Killed):
            set_aside(some.folder, some.run, examine(some.folder, some.run, verify=True))
    assert_each_bill_counts_once(case, settle(some.folder, some.folder.read_run()))


def killed(*_: object) -> None:
    raise Killed


def test_so_it_is_where_the_layout_changes(case: Case) -> None:
    some = case[0]
    flight = prepare(some.run.job, some.run.paths)
    new = replace(some.run, digest=None)
    run = switch(some.folder, some.run, new, flight, keep_answered=False, say=lambda _: None)
    assert_each_bill_counts_once(case, run)


def test_what_is_gone_without_a_trace_is_not_taken_for_what_the_part_had(case: Case) -> None:
    some, _, lost = case
    damaged = examine(some.folder, some.run, verify=True)
    counted = Kept(some.folder, some.run).tally({0})
    rows = counted.rows + lost
    told = Tally(rows=rows, requests=99, costs_pico=counted.costs_pico)
    some.tell(tally=told, layout=0)
    assert bill_of_missing(some.folder, some.run, damaged) is None
    (some.folder.journal / "00001.jsonl").unlink()
    gone = bill_of_missing(some.folder, some.run, damaged)
    assert gone is not None
    assert gone.rows == 1


async def test_what_the_part_has_of_a_bill_is_noted_once_before_the_row_is_billed_on(
    tmp_path: Path,
) -> None:
    small = Small(tmp_path / "run", rows=4)
    await small.go(answer=lambda row: some_failure(row) if row else some_result(row))
    record = small.folder.seals(small.run_file).record(0)
    assert record is not None
    async with small.kept(Retry(["failed"], None)) as keeping:
        small.read(keeping, end=None)
        await keeping.keep_bill(some_bill(1, attempts=4))
        await keeping.keep(some_failure(1, attempts=5))
        await keeping.keep(some_result(2, attempts=4))
    assert keeping.tally.requests == 1 + 5 + 4 + 3
    lines = (small.folder.journal / "00000.jsonl").read_bytes().splitlines(keepends=True)
    assert [(entry.row, entry.attempts) for line in lines if (entry := decode_line(line))] == [
        (1, 3), (1, 4), (1, 5), (2, 3), (2, 4),
    ]  # fmt: skip
    file = JournalFile(small.folder.journal / "00000.jsonl", mend=False)
    assert file.bills == {}
    assert file.sealed_bills == {
        row: Unfinished.in_part(some_failure(row), record.part_sha256) for row in (1, 2)
    }
    assert await small.go() == []
    assert small.journalled() == []
