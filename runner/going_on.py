"""Go on with a run: is it still what its answers were given to, and if not, what of them stands?"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from runner.asked_again import Retry
from runner.compared import compare
from runner.counted import counted
from runner.drift import with_changes
from runner.errors import DatasetError, JobError, RunFolderError
from runner.folder import RunFile, RunFolder, run_folder_of
from runner.plan import is_drift, plan_of
from runner.preflight import Preflight, prepare
from runner.running import Run
from runner.soundness import examine, look_through_journal
from runner.switch import enter_missing, next_number, set_aside, settle, switch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.damage import Damage
    from runner.job import Job

# What stands where the job or the dataset has changed: answers to the very same requests alone, or
# every answer that a row has.
Accept = Literal["changes", "answered"]

# What a run may change without becoming another: scope, delivery and limits.
CHANGEABLE = frozenset(
    {"provider", "region", "base_url", "api_key_env", "api_key_file", "ca_file"}
    | {"stream", "wait_timeout_s", "first", "limits"}
)


def go_on(
    name: str,
    paths: Sequence[str] = (),
    *,
    changes: dict[str, Any] | None = None,
    retry: Sequence[str] = (),
    accept: Accept | None = None,
    providers_file: str | None = None,
    plan_command: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """The run that lives at `name`, to be finished, with `changes` to its job's settings.

    `retry` names the results to ask again: failed, length, empty or an error_type; settings that
    decide what is asked may then change for those rows alone. Where the job or the dataset has
    changed, or a part is damaged, `accept` says what stands; without it that is refused, with a
    plan, and the refusal names `plan_command`, which shows it again. Accepting lays the answers out
    anew before this returns; what is superseded is kept.
    """
    folder, _ = run_folder_of(name)
    kept = folder.read_run()
    job, again = _changed(kept.job, changes or {}, retry)
    paths = paths or kept.paths
    flight = prepare(job, paths, providers_file=providers_file)
    if again is not None:
        flight.template_for(again)  # its flaws are told before the run folder is touched
    if accept is None and is_drift(kept, flight):
        planned = plan_command or f"penstock plan {shlex.quote(name)}"
        raise _refusal(folder, kept, flight, name, planned)
    key = None if kept.rehearsal else flight.read_key()
    if accept is not None:
        with folder.lock():
            kept = _accepted(folder, flight, paths, accept, say)
    if "first" in (changes or {}):
        kept = replace(kept, pilot=None)
    kept = replace(kept, job=flight.job).over(paths, flight.dataset.stamp())
    flight = replace(flight, total_rows=flight.total_rows or kept.total_rows)
    return Run(name, kept, flight, key=key, say=say, retry=Retry(retry, again) if retry else None)


def _changed(job: Job, changes: dict[str, Any], retry: Sequence[str]) -> tuple[Job, Job | None]:
    """The run's job under the changes, and the job for rows asked again where that differs."""
    wanted = with_changes(job, changes)
    if not retry:
        return wanted, None
    delivery = {one: value for one, value in changes.items() if one in CHANGEABLE}
    usual = with_changes(job, delivery)
    return usual, None if wanted.identity() == usual.identity() else wanted


def _accepted(
    folder: RunFolder,
    flight: Preflight,
    paths: Sequence[str],
    accept: Accept,
    say: Callable[[str], None],
) -> RunFile:
    """The run after all that has changed has been accepted; nothing is lost on the way."""
    folder.prepare()  # a folder that is gone is made anew: what was in it is missing then
    run = settle(folder, folder.read_run())
    folder.seals(run).mend()
    damaged = examine(folder, run, verify=True)
    run, gone = enter_missing(folder, run, damaged)
    if gone:
        say(
            f"{counted(gone, 'row')} had a result that cannot be found or used. What was paid for "
            f"stays in the run's totals."
        )
    run = _set_aside(folder, run, look_through_journal(folder, run)[0], say)
    if is_drift(run, flight):
        new = replace(run, job=flight.job, digest=None, pilot=None).over(
            paths, flight.dataset.stamp()
        )
        return switch(folder, run, new, flight, keep_answered=accept == "answered", say=say)
    return _set_aside(folder, run, damaged, say)


def _set_aside(
    folder: RunFolder, run: RunFile, damaged: list[Damage], say: Callable[[str], None]
) -> RunFile:
    if not damaged:
        return run
    place = folder.superseded / next_number(folder, run)
    for flaw in damaged:
        say(f"{flaw}; asked again now. What is left of them is kept in {place}.")
    return set_aside(folder, run, damaged)


def _refusal(
    folder: RunFolder, run: RunFile, flight: Preflight, name: str, planned: str
) -> DatasetError | RunFolderError | JobError:
    """Why a resume does not simply go on, what it would do, and the ways on."""
    damaged = examine(folder, run, verify=True)
    found = plan_of(name, run, flight, compare(folder, run, flight, damaged), damaged)
    what = "the dataset is not what it was" if found.dataset else "this asks otherwise than before"
    told = "\n".join(found.lines()[1:])
    text = (
        f"{name}: {what}, so nothing is sent:\n{told}\n"
        f"Add --accept-changes or --keep-answered to this command; answers that are not reused "
        f"stay in {folder.superseded}. Changed flags hold for rows asked again alone with "
        f"--retry KIND. The plan again: {planned}"
    )
    return DatasetError(text) if found.dataset else RunFolderError(text)
