"""One file of a run's rows, in dataset order, also while the run goes on."""

from __future__ import annotations

import glob
import os
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson
import pyarrow as pa

from runner.durable import (
    faults,
    fsync_folder,
    new_file,
    remove,
    removed_on_failure,
    rename,
    replace_file,
)
from runner.errors import JobError, MachineFault
from runner.for_excel import BOM, ForExcel
from runner.part_files import TableWriter
from runner.reading import in_one_layout
from runner.side_by_side import Rows

if TYPE_CHECKING:
    from pathlib import Path

    from runner.folder import RunFile, RunFolder
    from runner.for_excel import CutCell
    from runner.job import Format

Only = Literal["all", "succeeded", "failed"]

ENDINGS: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What went into a file, and what a run has. Made by `export`, shown by the command."""

    rows: int  # written
    succeeded: int  # of the run's rows, whether written or not
    failed: int
    pending: int | None  # None while the dataset's length is unknown
    cut: tuple[CutCell, ...] = ()  # cells too long for Excel, the first of them
    cut_cells: int = 0  # all of them


def format_of(path: Path) -> Format:
    """The format that a file's name asks for. Raises JobError."""
    kind = ENDINGS.get(path.suffix)
    if kind is None:
        raise JobError(f"{path}: name a file that ends in .parquet, .csv or .jsonl")
    return kind


class _Counts:
    """Chooses the rows to write, and counts all of them."""

    def __init__(self, only: Only, prefix: str) -> None:
        self._only = only
        self._prefix = prefix
        self.succeeded = self.failed = 0

    def chosen(self, table: pa.Table) -> pa.Table:
        """The rows of `table` to be written; pending ones are there because they are wanted."""
        # Not pyarrow.compute, which takes 9 MB and 30 ms of every run that exports nothing.
        failed = table[f"{self._prefix}error_type"].is_valid().to_pylist()
        pending = table[f"{self._prefix}finished_at"].is_null().to_pylist()
        self.failed += failed.count(True)
        self.succeeded += len(table) - failed.count(True) - pending.count(True)
        if self._only == "all":
            return table
        kept = self._only == "failed"
        wanted = [fails == kept or waits for fails, waits in zip(failed, pending, strict=True)]
        return table.filter(pa.array(wanted, pa.bool_()))


def export(
    folder: RunFolder,
    run: RunFile,
    file: Path,
    *,
    only: Only = "all",
    with_pending: bool = False,
    excel: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write a run's rows into one file, in one step.

    The format follows the file's name. Pending rows have no result's columns filled in. `excel`
    makes a .csv that Excel opens safely. A file that is there already gives way if an earlier
    export of this run wrote it and nobody has changed it since, or with `overwrite`.

    Raises JobError for a name that cannot be, DatasetError where the dataset is needed and gone,
    MachineFault where parts cannot be read or the file not be written.
    """
    kind = format_of(file)
    if excel and kind != "csv":
        raise JobError(f"{file}: --excel is for .csv files; Excel itself reads no {file.suffix}")
    _check_place(folder, run, file)
    if not overwrite:
        _check_owner(folder, file)
    _sweep(file)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")

    def written(run: RunFile) -> Exported:
        rows = Rows(folder, run, with_pending=with_pending)
        counts = _Counts(only, run.job.prefix)
        safe = ForExcel(f"{run.job.prefix}row") if excel else None
        with faults("write", file):
            count = _write(temporary, kind, rows, counts, safe)
        done = counts.succeeded + counts.failed
        pending = None if rows.end is None else max(0, rows.end - done)
        cut, cut_cells = (tuple(safe.cut), safe.cut_cells) if safe is not None else ((), 0)
        return Exported(count, counts.succeeded, counts.failed, pending, cut, cut_cells)

    with faults("write", file), removed_on_failure(temporary):
        found = in_one_layout(folder, run, written)
        rename(temporary, file)
        fsync_folder(file.parent)
    _remember(folder, file)
    return found


def _write(path: Path, kind: Format, rows: Rows, counts: _Counts, safe: ForExcel | None) -> int:
    """Put the chosen rows into a file; how many they are."""
    written = 0
    with new_file(path) as out:
        if safe is not None:
            out.write(BOM)
        # Closed in any case: Arrow's writer would complain of a file that is closed before it is.
        with closing(TableWriter(out, rows.schema, kind)) as writer:
            for table in rows.tables():
                part = counts.chosen(table)
                writer.write(part if safe is None else safe.table(part))
                written += len(part)
    return written


def _check_owner(folder: RunFolder, file: Path) -> None:
    """Refuse to overwrite what no export of this run has left there."""
    found = _identity(file)
    if found is not None and _remembered(folder).get(str(file.resolve())) != found:
        raise JobError(
            f"{file} is there already, and it is not what an export of this run left: another "
            f"file, or changed since. Name another one, or give --yes to overwrite it"
        )


def _identity(file: Path) -> list[int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _remembered(folder: RunFolder) -> dict[str, Any]:
    """Size and time of each file that was exported, by path; {} where that is not known."""
    try:
        data = orjson.loads(folder.exports.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def _remember(folder: RunFolder, file: Path) -> None:
    data = {**_remembered(folder), str(file.resolve()): _identity(file)}
    # Another user's run may be exported too; its file is then asked about the next time.
    with suppress(MachineFault):
        replace_file(folder.exports, orjson.dumps(data) + b"\n", durable=False)


def _check_place(folder: RunFolder, run: RunFile, file: Path) -> None:
    place = file.resolve()
    if place in {type(file)(one["path"]).resolve() for one in run.stamp}:
        raise JobError(f"{file} is a file of the dataset itself; name another one")
    if place.is_relative_to(folder.path.resolve()):
        raise JobError(f"{file} lies inside the run's own folder; name a file elsewhere")
    if file.is_dir():
        raise JobError(f"{file} is a folder; name a file inside it")
    if not place.parent.is_dir():
        raise JobError(f"{file}: there is no folder {file.parent}; make it first")


def _sweep(file: Path) -> None:
    """Delete what exports to this file left behind when they were killed."""
    if sys.platform == "win32":  # no way to ask for a process without touching it
        return
    for leftover in file.parent.glob(f".{glob.escape(file.name)}.*.tmp"):
        pid = leftover.name.split(".")[-2]
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            remove(leftover)
        except OSError:
            continue
