"""Is this still the same run? What differs between a run folder and what is asked of it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.counted import counted
from runner.job import Job

if TYPE_CHECKING:
    from runner.dataset import Dataset
    from runner.folder import RunFile

_SHOWN = 80  # characters of a value in a message


def job_differences(run: RunFile, job: Job) -> list[str]:
    """One line for each setting that decides what is asked and is not what it was."""
    before, now = run.job.identity(), job.identity()
    return [
        f"{name}: the run has {_shown(before[name])}, this command {_shown(now[name])}"
        for name in before
        if before[name] != now[name]
    ]


def with_changes(job: Job, changes: dict[str, Any]) -> Job:
    """The job under changes to its settings. Raises JobError."""
    settings = job.model_dump(mode="json", exclude_defaults=True)
    for table in ("limits", "params"):
        if table in changes:
            changes = {**changes, table: {**settings.get(table, {}), **changes[table]}}
    return Job.build({**settings, **changes})


def file_change(run: RunFile, now: list[dict[str, Any]]) -> str:
    """What tells that the dataset's files are not what they were."""
    before = run.stamp
    if len(before) != len(now):
        return f"it had {counted(len(before), 'file')} and has {len(now):,}"
    for old, new in zip(before, now, strict=True):
        if old["size"] != new["size"]:
            return f"{new['path']} had {counted(old['size'], 'byte')} and has {new['size']:,}"
    which = now[0]["path"] if len(now) == 1 else "its files"
    if run.digest is None:
        return f"{which} was written to since, and its contents were not hashed at the time"
    return f"the contents of {which} have changed"


def same_files(run: RunFile, stamp: list[dict[str, Any]]) -> bool:
    """Whether sizes and times say that the dataset is untouched; paths may differ."""

    def facts(files: list[dict[str, Any]]) -> list[tuple[int, int]]:
        return [(file["size"], file["mtime_ns"]) for file in files]

    return facts(run.stamp) == facts(stamp)


def same_dataset(run: RunFile, dataset: Dataset) -> bool:
    """Whether the files hold what they held; where only their times differ, by reading them."""
    if same_files(run, dataset.stamp()):
        return True
    return run.digest is not None and dataset.digest() == run.digest


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
