"""Whoever reads a run while its layout gives way to another reads one of them, whole."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from crash import Crash, Killed
from test_switch import AFTER, ROWS, accept, begun, rewrite

from runner.errors import MachineFault
from runner.estimate.measured import measure
from runner.estimate.prompt_census import Counting, by_bytes
from runner.export import export
from runner.kept import Kept
from runner.plan import plan
from runner.preflight import prepare
from runner.reading import in_one_layout
from runner.shown import ShownRows
from runner.soundness import examine
from runner.status import summary_of
from runner.switch import set_aside, settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from some_runs import SomeRun

    from runner.folder import RunFile

    Reader = Callable[[SomeRun, RunFile], Any]

REVERSED = range(ROWS - 1, -1, -1)


def exported(some: SomeRun, run: RunFile) -> Any:
    file = some.data.with_name("out.parquet")
    found = export(some.folder, run, file, with_pending=True, overwrite=True)
    return found, pq.read_table(file).select(["row", "id", "completion"]).to_pylist()


def told(some: SomeRun, run: RunFile) -> Any:
    summary = summary_of(some.folder, run, some.name)
    return summary.tally.rows, summary.tally.failed, summary.superseded


def shown(some: SomeRun, run: RunFile) -> Any:
    return ShownRows(some.folder, run).first(99)


def shown_row(some: SomeRun, run: RunFile) -> Any:
    return ShownRows(some.folder, run).row(3)


def planned(some: SomeRun, run: RunFile) -> Any:
    del run
    return plan(some.name, verify=True)


def interrupted(patch: pytest.MonkeyPatch, name: str, meanwhile: Callable[[], object]) -> list[str]:
    """Do this at the next call of a method of `Kept`, in its midst; how often it was done."""
    real = getattr(Kept, name)
    done: list[str] = []

    def call(self: Kept, *args: Any, **kwargs: Any) -> Any:
        found = real(self, *args, **kwargs)
        if not done:
            done.append(name)
            meanwhile()
            if name != "blocks":  # or what it found may be handed on, out of date
                found = real(self, *args, **kwargs)
        return found

    patch.setattr(Kept, name, call)
    return done


@pytest.mark.parametrize(
    ("reader", "method"),
    [
        (exported, "blocks"),
        (exported, "tables"),
        (exported, "results"),
        (told, "blocks"),
        (told, "record"),
        (shown, "blocks"),
        (shown, "results"),
        (shown_row, "results"),
        (planned, "blocks"),
    ],
)
def test_a_switch_beneath_a_reader_makes_it_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader, method: str
) -> None:
    some = begun(tmp_path)

    def switched() -> None:
        rewrite(some, REVERSED, edited=2)
        accept(some, some.folder.read_run())

    with monkeypatch.context() as patch:
        done = interrupted(patch, method, switched)
        found = reader(some, some.run)
    assert done
    assert found == reader(some, some.folder.read_run())
    if reader is exported:
        answers = {row["row"]: row["completion"] for row in found[1]}
        assert answers == {row: AFTER.get(row) for row in range(ROWS)}


@pytest.mark.parametrize("reader", [exported, told, shown, shown_row, planned])
def test_a_switch_that_is_finished_beneath_a_reader_hides_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    spans = 0
    for after in range(200):
        some = begun(tmp_path / str(after))
        rewrite(some, REVERSED)
        with monkeypatch.context() as patch:
            crash = Crash(patch, after=after)
            with suppress(Killed):
                accept(some, some.run)
        run = some.folder.read_run()
        if run.switch is None:
            if not crash.happened:
                break
            continue
        spans += 1

        def settled(some: SomeRun = some) -> None:
            settle(some.folder, some.folder.read_run())

        name = "results" if reader is shown_row else "blocks"
        with monkeypatch.context() as patch:
            assert not interrupted(patch, name, settled)
            found = reader(some, run)
        assert found == reader(some, some.folder.read_run()), after
    assert spans > 3


@pytest.mark.parametrize("reader", [exported, told, shown])
def test_damage_that_is_set_aside_beneath_a_reader_makes_it_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    some = begun(tmp_path)
    some.folder.seals(some.run).part(1).write_bytes(b"damaged")

    def done_away() -> None:
        run = some.folder.read_run()
        set_aside(some.folder, run, examine(some.folder, run, verify=True))

    with monkeypatch.context() as patch:
        interrupted(patch, "blocks", done_away)
        found = reader(some, some.run)
    assert found == reader(some, some.folder.read_run())


def test_answers_that_move_while_they_are_measured_are_measured_where_they_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = begun(tmp_path)
    flight = prepare(some.run.job, some.run.paths)

    def switched() -> None:
        rewrite(some, REVERSED, edited=2)
        accept(some, some.folder.read_run())

    with monkeypatch.context() as patch:
        done = interrupted(patch, "results", switched)
        found = measure(some.name, flight, Counting(flight.template.fill, by_bytes, []))
    assert done
    assert found is not None
    assert not found.of_dataset, "the dataset that was to be estimated is not the run's any more"
    assert (found.tally.rows, len(found.answers)) == (len(AFTER), len(AFTER))


def test_a_layout_that_lies_elsewhere_now_was_not_empty(tmp_path: Path) -> None:
    some = begun(tmp_path)
    reads: list[RunFile] = []

    def read(run: RunFile) -> int:
        kept = Kept(some.folder, run)
        if not reads:
            rewrite(some, REVERSED)
            accept(some, run)
        reads.append(run)
        return kept.tally().rows

    assert in_one_layout(some.folder, some.run, read) == 9
    assert reads == [some.run, some.folder.read_run()]


@pytest.mark.parametrize("name", ["journal", "completions", "seals"])
def test_a_folder_that_is_missing_is_told(tmp_path: Path, name: str) -> None:
    some = begun(tmp_path)
    place = some.folder.place(name, some.run)
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(MachineFault, match=name if name != "completions" else "part-00000"):
        shown(some, some.run)
