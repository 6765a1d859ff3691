"""Begin a run, or go on with one: is it new, the same, or another one's folder?"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.asked_again import Retry
from runner.blocks import block_rows_for
from runner.drift import job_differences, same_dataset
from runner.errors import DatasetError, JobError, RunFolderError
from runner.event_loop import run_to_end
from runner.export import format_of
from runner.folder import RunFile, RunFolder, run_folder_of
from runner.job import Job
from runner.preflight import Preflight, prepare
from runner.running import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.summary import Summary

# Endings by which somebody means a file, of a kind that is not written.
_NOT_FOLDERS = frozenset(
    {".xlsx", ".xls", ".ods", ".txt", ".json", ".tsv", ".ndjson", ".gz", ".zip", ".feather"}
)

# What a run may change without becoming another: scope, delivery and limits.
CHANGEABLE = frozenset(
    {"provider", "region", "base_url", "api_key_env", "api_key_file", "ca_file"}
    | {"stream", "wait_timeout_s", "first", "limits"}
)


def begin(
    job: Job,
    paths: Sequence[str],
    name: str,
    *,
    rehearsal: bool = False,
    providers_file: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """A run of `job` over the dataset in `paths`, living at `name` (a folder, or a file's name).

    Where the same run lives there already, it is gone on with. Raises JobError, DatasetError and
    RunFolderError before anything is written or sent.
    """
    flight = prepare(job, paths, providers_file=providers_file)
    folder, export_file = run_folder_of(name)
    if folder.exists() and not _gives_way(folder, flight, rehearsal=rehearsal):
        kept = _same(folder.read_run(), flight, paths, name, rehearsal=rehearsal)
        flight = replace(flight, total_rows=flight.total_rows or kept.total_rows)
    else:
        if not folder.exists():
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
        )
    key = None if rehearsal else flight.read_key()
    return Run(name, kept, flight, key=key, say=say)


def go_on(
    name: str,
    paths: Sequence[str] = (),
    *,
    changes: dict[str, Any] | None = None,
    retry: Sequence[str] = (),
    providers_file: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """The run that lives at `name`, to be finished, with `changes` to its job's settings.

    `retry` names the results to ask again: failed, length, empty or an error_type; settings that
    decide what is asked may change for those rows alone.
    """
    folder, _ = run_folder_of(name)
    kept = folder.read_run()
    job, again = _changed(kept.job, changes or {}, retry)
    paths = paths or kept.paths
    flight = prepare(job, paths, providers_file=providers_file)
    if again is not None:
        flight.template_for(again)  # its flaws are told before the run folder is touched
    kept = _same(kept, flight, paths, name, rehearsal=kept.rehearsal)
    flight = replace(flight, total_rows=flight.total_rows or kept.total_rows)
    key = None if kept.rehearsal else flight.read_key()
    return Run(name, kept, flight, key=key, say=say, retry=Retry(retry, again) if retry else None)


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


def _gives_way(folder: RunFolder, flight: Preflight, *, rehearsal: bool) -> bool:
    """Whether a run that has no result yet may be begun anew, as another job or dataset."""
    if folder.has_results():
        return False
    old = folder.read_run()
    same_job = not job_differences(old, flight.job) and old.rehearsal == rehearsal
    return not (same_job and same_dataset(old, flight.dataset))


def _changed(job: Job, changes: dict[str, Any], retry: Sequence[str]) -> tuple[Job, Job | None]:
    """The run's job under the changes, and the job for rows asked again where that differs."""
    settings = job.model_dump(mode="json", exclude_defaults=True)
    if "limits" in changes:
        changes = {**changes, "limits": {**settings.get("limits", {}), **changes["limits"]}}
    if "params" in changes:
        changes = {**changes, "params": {**settings.get("params", {}), **changes["params"]}}
    delivery = {name: value for name, value in changes.items() if name in CHANGEABLE}
    asking = {name: value for name, value in changes.items() if name not in CHANGEABLE}
    usual = Job.build({**settings, **delivery})
    again = Job.build({**settings, **changes}) if asking else None
    if again is not None and again.identity() == usual.identity():
        again = None
    if again is not None and not retry:
        raise JobError(
            f"a resume cannot change what the run asks ({', '.join(sorted(asking))}): its answers "
            f"would be a mixture. With --retry the change holds for the rows asked again alone; "
            f"for another job start another run with -o (where nothing is answered yet, generate "
            f"begins the same one anew)"
        )
    return usual, again


def _same(
    run: RunFile, flight: Preflight, paths: Sequence[str], name: str, *, rehearsal: bool
) -> RunFile:
    """The run in the folder, if it is the one that is asked for. Raises RunFolderError."""
    if run.rehearsal != rehearsal:
        kinds = ("a rehearsal", "a run against the provider")
        has, wants = kinds if run.rehearsal else kinds[::-1]
        raise RunFolderError(f"{name} holds {has}; start {wants} elsewhere with -o")
    differences = job_differences(run, flight.job)
    if differences:
        raise RunFolderError(
            f"{name} holds another job:\n  " + "\n  ".join(differences) + "\n"
            "Its answers are kept. Start this job elsewhere with -o, or go on with the old one: "
            f"penstock resume {name}"
        )
    stamp = flight.dataset.stamp()
    if not same_dataset(run, flight.dataset):
        raise DatasetError(
            f"the dataset is not the one that {name} was started with: "
            f"{_file_change(run, stamp)}. Its answers are kept. Bring the old file back, or "
            f"start a new run elsewhere with -o"
        )
    # Also where the files lie now, for the next time.
    return replace(run, job=flight.job, stamp=stamp, paths=tuple(absolute(path) for path in paths))


def _file_change(run: RunFile, now: list[dict[str, Any]]) -> str:
    before = run.stamp
    if len(before) != len(now):
        return f"it had {len(before)} file(s) and has {len(now)}"
    for old, new in zip(before, now, strict=True):
        if old["size"] != new["size"]:
            return f"{new['path']} had {old['size']:,} bytes and has {new['size']:,}"
    which = now[0]["path"] if len(now) == 1 else "its files"
    if run.digest is None:
        return f"{which} was written to since, and its contents were not hashed at the time"
    return f"the contents of {which} have changed"


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
    """The block size of a new run, from the first batch's bytes a row."""
    spans = [range(sys.maxsize)]
    keep = flight.inputs.names
    batch = next(flight.dataset.batches(columns=(), keep=keep, spans=spans))
    bytes_per_row = batch.inputs.nbytes / len(batch.rows)
    total = flight.rows
    if total is None:
        total = round(flight.dataset.total_bytes / max(1.0, bytes_per_row))
    return block_rows_for(bytes_per_row, total)


def absolute(path: str) -> str:
    """A dataset path as run.json keeps it, so that a resume works from any folder."""
    return path if "://" in path else str(Path(path).absolute())
