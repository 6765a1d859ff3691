"""Begin a run: is it new, the same, or another one's folder?"""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from runner.blocks import block_rows_for
from runner.drift import file_change, job_differences, same_dataset
from runner.errors import DatasetError, RunFolderError
from runner.estimate import count_rows
from runner.event_loop import run_to_end
from runner.export import format_of
from runner.folder import RunFile, RunFolder, absolute, run_folder_of
from runner.pilot import pilot_rows
from runner.preflight import Preflight, prepare
from runner.running import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runner.job import Job
    from runner.summary import Summary

# Endings by which somebody means a file, of a kind that is not written.
_NOT_FOLDERS = frozenset(
    {".xlsx", ".xls", ".ods", ".txt", ".json", ".tsv", ".ndjson", ".gz", ".zip", ".feather"}
)


def begin(
    job: Job,
    paths: Sequence[str],
    name: str,
    *,
    rehearsal: bool = False,
    pilot: int | None = None,
    providers_file: str | None = None,
    plan_command: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """A run of `job` over the dataset in `paths`, living at `name` (a folder, or a file's name).

    Where the same run lives there already, it is gone on with. With `pilot` only so many rows are
    asked, spread over the dataset; without it a run that was a pilot goes on with all. A refusal
    names `plan_command`, which shows what of the run there could be reused for this one. Raises
    JobError, DatasetError and RunFolderError before anything is written or sent.
    """
    flight = prepare(job, paths, providers_file=providers_file)
    if pilot is not None:
        flight = replace(flight, total_rows=count_rows(flight.dataset))
    folder, export_file = run_folder_of(name)
    old = folder.read_run() if folder.exists() else None
    if old is not None and not _gives_way(folder, old, flight, rehearsal=rehearsal):
        planned = plan_command or f"penstock plan {shlex.quote(name)}"
        kept = _same(old, flight, paths, name, planned, rehearsal=rehearsal)
        flight = replace(flight, total_rows=flight.total_rows or kept.total_rows)
    else:
        if old is None:
            _refuse_occupied(folder, export_file, name)
        kept = RunFile(
            job=flight.job,
            paths=tuple(absolute(path) for path in paths),
            stamp=flight.dataset.stamp(),
            digest=None,
            total_rows=flight.total_rows,
            block_rows=_block_rows(flight),
            rehearsal=rehearsal,
            export=str(export_file.absolute()) if export_file else None,
            created=time.time(),
            version=version("penstock"),
            # What was paid in this folder still counts, although its answers are gone.
            superseded=old.superseded if old is not None else {},
            switch=old.switch if old is not None else None,
        )
    kept = _in_scope(kept, flight, pilot, folder, name)
    key = None if rehearsal else flight.read_key()
    return Run(name, kept, flight, key=key, say=say)


async def run(
    job: Job,
    paths: str | Sequence[str],
    name: str,
    *,
    rehearsal: bool = False,
    providers_file: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Ask for every row of the dataset and keep the answers at `name`; how it ended.

    Goes on where an earlier call, or the command line, left off. `say` receives lines for a person.
    Raises Refused when the job, the dataset or the folder is wrong; whatever stops the run later is
    told in the summary (`stopped_by`, `message`), and the same call goes on.
    """
    listed = [paths] if isinstance(paths, str) else paths
    begun = begin(job, listed, name, rehearsal=rehearsal, providers_file=providers_file, say=say)
    return await begun.go()


def run_sync(
    job: Job,
    paths: str | Sequence[str],
    name: str,
    *,
    rehearsal: bool = False,
    providers_file: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Summary:
    """`run` from plain code, on an event loop of its own."""
    return run_to_end(
        run(job, paths, name, rehearsal=rehearsal, providers_file=providers_file, say=say)
    )


def _in_scope(
    kept: RunFile, flight: Preflight, pilot: int | None, folder: RunFolder, name: str
) -> RunFile:
    """The run with the rows of a pilot as its scope, or with all. Raises RunFolderError."""
    if pilot is None:
        return replace(kept, pilot=None)
    if kept.pilot is None and folder.exists() and folder.has_results():
        raise RunFolderError(
            f"--pilot {pilot}: {name} has answers already that no pilot brought. Leave --pilot "
            f"away, and they are what the estimate measures by; or name a new run with -o"
        )
    scope = flight.rows or 0
    rows = pilot_rows(pilot, scope, known=kept.pilot or ())
    return replace(kept, total_rows=flight.total_rows, pilot=rows)


def _gives_way(folder: RunFolder, old: RunFile, flight: Preflight, *, rehearsal: bool) -> bool:
    """Whether a run that has no result may be begun anew, as another job or dataset."""
    # A rehearsal's bills are no money, and must not be added to any.
    if folder.has_results() or (old.superseded and old.rehearsal != rehearsal):
        return False
    same_job = not job_differences(old, flight.job) and old.rehearsal == rehearsal
    return not (same_job and same_dataset(old, flight.dataset))


def _same(
    run: RunFile,
    flight: Preflight,
    paths: Sequence[str],
    name: str,
    planned: str,
    *,
    rehearsal: bool,
) -> RunFile:
    """The run in the folder, if it is the one that is asked for. Raises RunFolderError."""
    if run.rehearsal != rehearsal:
        kinds = ("a rehearsal", "a run against the provider")
        has, wants = kinds if run.rehearsal else kinds[::-1]
        raise RunFolderError(f"{name} holds {has}; start {wants} elsewhere with -o")
    ways = (
        f"Its answers are kept. Start this elsewhere with -o; or see what of it could be reused: "
        f"{planned}\nor go on with the old one: penstock resume {shlex.quote(name)}"
    )
    differences = job_differences(run, flight.job)
    if differences:
        told = "\n  ".join(differences)
        raise RunFolderError(f"{name} holds another job:\n  {told}\n{ways}")
    if not same_dataset(run, flight.dataset):
        raise DatasetError(
            f"the dataset is not the one that {name} was started with: "
            f"{file_change(run, flight.dataset.stamp())}. {ways}"
        )
    return replace(run, job=flight.job).over(paths, flight.dataset.stamp())


def _refuse_occupied(folder: RunFolder, export_file: Path | None, name: str) -> None:
    if export_file is not None and export_file.exists():
        raise RunFolderError(
            f"-o {name}: there is such a file already, and it is not a run's; name another one"
        )
    path = folder.path
    if path.suffix.lower() in _NOT_FOLDERS and not name.endswith(("/", "\\")):
        raise RunFolderError(
            f"-o {name}: no {path.suffix} file can be written; name a .csv, .jsonl or .parquet "
            f"file, or a folder (ending in /)"
        )
    if path.exists() and not path.is_dir():
        raise RunFolderError(
            f"-o {name}: {path} is a file; name a folder, or a .csv, .jsonl or .parquet file"
        )
    if not folder.is_vacant():
        raise RunFolderError(
            f"-o {name}: {path} holds other files; name a folder that is new or empty"
        )
    if export_file is not None:
        format_of(export_file)


def _block_rows(flight: Preflight) -> int:
    """The block size of a new run, from the first batch's bytes a row and how they grow."""
    spans = [range(sys.maxsize)]
    keep = flight.inputs.names
    batch = next(flight.dataset.batches(columns=(), keep=keep, spans=spans))
    bytes_per_row = batch.inputs.nbytes / len(batch.rows)
    total = flight.rows
    if total is None:
        total = round(flight.dataset.total_bytes / max(1.0, bytes_per_row))
    if len(keep) == len(flight.dataset.schema.names):  # known of whole rows only
        bytes_per_row *= flight.dataset.growth()
    return block_rows_for(bytes_per_row, total)
