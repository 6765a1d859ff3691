"""What a run has kept, whatever state its folder is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from some_runs import SomeRun, questions

from runner import kept as kept_module
from runner.durable import write_durable
from runner.errors import MachineFault
from runner.journal import entries_of
from runner.kept import Kept
from runner.part_files import read_columns
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Result, Unfinished


@pytest.fixture
def run(tmp_path: Path) -> SomeRun:
    return SomeRun(tmp_path, questions(12))


def kept(run: SomeRun) -> Kept:
    return Kept(run.folder, run.run)


def tally_of(results: list[Result]) -> Tally:
    tally = Tally()
    for result in results:
        tally.add(result)
    return tally


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_sealed_and_open_blocks_are_read_back_as_they_were_kept(tmp_path: Path, kind: str) -> None:
    run = SomeRun(tmp_path, questions(12), format=kind)
    sealed = run.seal(0, [run.answer(0, completion=""), *map(run.failure, (1, 2)), run.answer(3)])
    run.journal(run.answer(6), run.failure(5))
    assert kept(run).blocks() == [0, 1]
    # Attempts without known usage are counted in the record; a part has no column for them.
    expected = [row.completion for row in sealed]
    assert [one.completion for one in kept(run).results(0).values()] == expected
    assert [one.key for one in kept(run).results(0).values()] == [one.key for one in sealed]
    assert kept(run).results(1) == {5: run.failure(5), 6: run.answer(6)}
    assert list(kept(run).results(1)) == [5, 6]
    assert kept(run).results(2) == {}


def test_only_the_rows_that_are_wanted_are_returned(run: SomeRun) -> None:
    run.seal(1)
    run.journal(run.answer(4, completion="newer"), run.answer(5, completion="newer"))
    found = kept(run).results(1, range(5, 7))
    assert [one.completion for one in found.values()] == ["newer", "answer 6"]
    assert kept(run).results(1, range(20, 21)) == {}


def test_rows_with_a_result_are_told_without_reading_a_part(run: SomeRun) -> None:
    run.seal(0)
    run.folder.seals(run.run).part(0).write_bytes(b"never looked at")
    run.journal(run.failure(2), run.answer(6), run.failure(5))
    assert kept(run).rows(0) == [range(4)]
    assert kept(run).rows(1) == [range(5, 6), range(6, 7)]
    assert kept(run).rows(2) == []


def test_a_newer_result_in_the_journal_stands_over_the_part(run: SomeRun) -> None:
    run.seal(0, [run.answer(0), run.failure(1), run.failure(2), run.answer(3)])
    run.journal(run.answer(1, completion="at last"))
    assert kept(run).results(0)[1].completion == "at last"
    assert list(kept(run).failures(0)) == [2]
    tally = kept(run).tally()
    assert (tally.rows, tally.failed) == (4, 1)


def test_a_part_without_failures_is_not_opened_to_find_them(run: SomeRun) -> None:
    run.seal(0)
    run.folder.seals(run.run).part(0).write_bytes(b"never looked at")
    run.journal(run.failure(2))
    assert list(kept(run).failures(0)) == [2]


def test_a_tally_comes_from_records_and_journals(run: SomeRun) -> None:
    sealed = run.seal(0, [run.answer(0), run.failure(1), run.answer(2), run.answer(3)])
    opened = [run.answer(5), run.failure(8)]
    run.journal(*opened)
    assert kept(run).tally() == tally_of([*sealed, *opened])


def test_a_journal_that_goes_while_it_is_looked_at_is_a_sealed_block(
    run: SomeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.journal(run.answer(0), run.answer(1))

    def seal_first(
        folder: Path, block: int, block_rows: int
    ) -> tuple[dict[int, Result], dict[int, Unfinished]]:
        run.seal(block)
        (folder / f"{block:05d}.jsonl").unlink(missing_ok=True)
        return entries_of(folder, block, block_rows)

    monkeypatch.setattr(kept_module, "entries_of", seal_first)
    assert list(kept(run).results(0)) == [0, 1, 2, 3]


def test_a_part_that_is_replaced_while_it_is_read_is_read_again(
    run: SomeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.seal(0, [run.answer(0), run.answer(1)])
    reseal: list[Callable[[], object]] = [lambda: run.seal(0)]

    def replaced(*args: object) -> object:
        if reseal:
            reseal.pop()()
        return read_columns(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(kept_module, "read_columns", replaced)
    assert list(kept(run).results(0)) == [0, 1, 2, 3]


def test_a_crash_between_the_renames_hides_nothing(run: SomeRun) -> None:
    seals = run.folder.seals(run.run)
    run.seal(0, [run.answer(0), run.failure(1)])
    old = {path.name: path.read_bytes() for path in seals.seals.iterdir()}
    run.seal(0, [run.answer(0), run.answer(1), run.answer(2)])
    for name in list(old):
        new = (seals.seals / name).read_bytes()
        stem, _, ending = name.partition(".")
        write_durable(seals.seals / f"{stem}.next.{ending}", new)
        write_durable(seals.seals / name, old[name])
    # The part is the new one, its record still waits for its name.
    assert not any(one.failed for one in kept(run).results(0).values())
    assert list(kept(run).results(0)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda part: part.unlink(), "is missing"),
        (lambda part: part.write_bytes(part.read_bytes()[:-1]), "is damaged"),
        (lambda part: part.write_bytes(part.read_bytes()[:-1] + b"x"), "is damaged"),
    ],
)
def test_a_lost_part_is_named_with_the_ways_on(
    run: SomeRun, damage: Callable[[Path], object], told: str
) -> None:
    run.seal(0)
    damage(run.folder.seals(run.run).part(0))
    with pytest.raises(MachineFault, match=f"part-00000.parquet {told}.*4 rows.*paid for"):
        kept(run).results(0)


def test_a_tally_tells_of_a_part_that_is_gone(run: SomeRun) -> None:
    run.seal(0)
    run.folder.seals(run.run).part(0).unlink()
    with pytest.raises(MachineFault, match="is missing"):
        kept(run).tally()
