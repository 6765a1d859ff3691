"""One layout of a run gives way to another, in steps of which any may be the last before a crash.

    1 built beside the old one     next/journal, next/completions, next/seals: copies, in new order
    2 the old run.json, kept       next/run.json
    3 run.json replaced            it names its place in superseded/ (`switch`); this is the moment
    4 the folders exchanged        journal -> superseded/0001/journal, next/journal -> journal
    5 next/run.json moved too      superseded/0001/run.json
    6 run.json without the mark

Before 3 the next start removes next/ and nothing has happened. After 3 it finishes, and readers
find each folder in next/ as long as it lies there. Nothing that was paid for is ever deleted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.compared import compare
from runner.durable import faults, fsync_folder, remove_folder, rename, write_durable
from runner.errors import MachineFault, RunFolderError
from runner.folder import PARTS_OF_LAYOUT
from runner.journal import JournalFile, brought_up_to_date, paths_in
from runner.rebuilding import Rebuilding
from runner.sealed_bills import beyond_journal
from runner.soundness import bill_of_missing, examine
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.damage import Damage
    from runner.folder import RunFile, RunFolder
    from runner.preflight import Preflight


def take_up(folder: RunFolder, run: RunFile) -> RunFile:
    """The run that a process begins with: a switch that was cut short is finished, or undone.

    Call it with the lock. Raises RunFolderError where another process has changed the run since
    `run` was read.
    """
    if not folder.exists():
        return run
    there = folder.read_run()
    if (there.superseded, there.switch) != (run.superseded, run.switch):
        raise RunFolderError(
            f"{folder.path} has just been changed by another process; repeat the command"
        )
    settled = settle(folder, there)
    return replace(run, switch=None, superseded=settled.superseded)


def settle(folder: RunFolder, run: RunFile) -> RunFile:
    """Finish or undo what a crash cut short; the run as it is then. Raises MachineFault."""
    with faults("finish the switch in", folder.path):
        if run.switch is not None:
            _exchange(folder, run.switch)
            run = replace(run, switch=None)
            folder.write_run(run)
        elif folder.next.exists():
            remove_folder(folder.next)
        return _enter_set_aside(folder, run)


def _exchange(folder: RunFolder, number: str) -> None:
    aside = folder.superseded / number
    aside.mkdir(parents=True, exist_ok=True)
    fsync_folder(folder.superseded)
    fsync_folder(folder.path)
    for name in PARTS_OF_LAYOUT:
        built, place, old = folder.next / name, folder.path / name, aside / name
        if not built.exists():
            continue  # done before the crash
        if not old.exists() and place.exists():
            rename(place, old)
            fsync_folder(aside)
            fsync_folder(folder.path)
        elif place.exists():
            place.rmdir()  # made anew, empty, by a start in between
        rename(built, place)
        fsync_folder(folder.path)
        fsync_folder(folder.next)
    if (folder.next / "run.json").exists():
        rename(folder.next / "run.json", aside / "run.json")
        fsync_folder(aside)
    if folder.next.exists():
        remove_folder(folder.next)


def set_aside(folder: RunFolder, run: RunFile, damaged: list[Damage]) -> RunFile:
    """Move what is left of damage to superseded/, so that its rows are asked again."""
    place = folder.superseded / next_number(folder, run)
    journal = folder.place("journal", run)
    for flaw in damaged:
        if flaw.path.parent == journal:
            _set_file_aside(flaw.path, place)
        elif flaw.block is not None:
            folder.seals(run).set_aside(flaw.block, place)
    with faults("force to disk", place):
        fsync_folder(folder.superseded)
        fsync_folder(folder.path)
        return _enter_set_aside(folder, run)


def _set_file_aside(path: Path, place: Path) -> None:
    folder = place / path.parent.name
    with faults("set aside", path):
        folder.mkdir(parents=True, exist_ok=True)
        rename(path, folder / path.name)
        fsync_folder(folder)
        fsync_folder(path.parent)


def enter_missing(folder: RunFolder, run: RunFile, damaged: list[Damage]) -> tuple[RunFile, int]:
    """Enter into run.json what was paid for results that are gone without a trace; how many."""
    gone = bill_of_missing(folder, run, damaged)
    if gone is None:
        return run, 0
    number = next_number(folder, run)
    run = replace(run, superseded={**run.superseded, number: gone.to_json()})
    folder.write_run(run)
    return run, gone.rows


def _enter_set_aside(folder: RunFolder, run: RunFile) -> RunFile:
    """Enter into run.json what was set aside and not yet entered: it was paid for."""
    entered, journal = dict(run.superseded), folder.place("journal", run)
    for place in sorted(folder.superseded.glob("[0-9]*")):
        if place.name not in entered:
            total = Tally()
            for path in sorted((place / "seals").glob("[0-9]*.json")):
                total.merge(beyond_journal(path, journal))
            for path in paths_in(place / "journal"):
                _add_all(total, JournalFile(path, mend=False))
            entered[place.name] = total.to_json()
    if entered != run.superseded:
        run = replace(run, superseded=entered)
        folder.write_run(run)
    return run


def _add_all(total: Tally, file: JournalFile) -> None:
    for result in brought_up_to_date(file.results, file.bills).values():
        total.add(result)
    for row in file.bills.keys() - file.results.keys():
        total.add_bill(file.bills[row])


def next_number(folder: RunFolder, run: RunFile) -> str:
    """The next free place in superseded/; the user may have deleted earlier ones."""
    taken = [int(path.name) for path in folder.superseded.glob("[0-9]*")]
    return f"{max([*taken, *map(int, run.superseded)], default=0) + 1:04d}"


def switch(
    folder: RunFolder,
    run: RunFile,
    new: RunFile,
    flight: Preflight,
    *,
    keep_answered: bool,
    say: Callable[[str], None],
) -> RunFile:
    """Make `new`, over the dataset of `flight`, the run that lives here; as it is then.

    Answers that stand are carried over: those to the very requests that would be sent, and with
    `keep_answered` those of changed rows too. The rest stays in superseded/. Call it with the lock.
    """
    folder.seals(run).mend()
    damaged = examine(folder, run, verify=True)
    compared = compare(folder, run, flight, damaged)
    compared.forget_keys()
    number = next_number(folder, run)
    try:
        with faults("build the new layout in", folder.next):
            builder = Rebuilding(folder, run, new, flight, compared, damaged)
            gone = builder.build(keep_answered=keep_answered)
            write_durable(folder.next / "run.json", run.encode())
            fsync_folder(folder.next)
            fsync_folder(folder.path)
    except MachineFault:  # a full disk, perhaps: what was built is of copies
        with suppress(OSError):
            remove_folder(folder.next)
        raise
    new = replace(
        new,
        total_rows=len(compared.matching.source),
        superseded={**run.superseded, number: gone.to_json()},
        switch=number,
    )
    folder.write_run(new)
    say(f"The layout before is kept in {folder.superseded / number}; delete it when you like.")
    return settle(folder, new)
