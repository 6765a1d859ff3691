"""How a run ended, and the command that comes next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from some_results import some_failure, some_result

from runner.conclusion import conclude, failures_allowed
from runner.errors import (
    BudgetReached,
    Interrupted,
    JobError,
    MachineFault,
    ProviderStopped,
    StopsRun,
)
from runner.job import Job
from runner.summary import Summary
from runner.tally import Tally

if TYPE_CHECKING:
    from runner.records import Result

CUT = some_result(finish_reason="length")


def ended(
    *results: Result,
    rows: int | None = 2,
    reason: StopsRun | None = None,
    name: str = "out",
    **settings: Any,
) -> Summary:
    tally = Tally()
    for result in results:
        tally.add(result)
    summary = Summary(run=name, state="running", rows=rows, tally=tally, elapsed_s=1.0)
    conclude(summary, reason, Job.build({"prompt": "x", **settings}))
    return summary


@pytest.mark.parametrize(
    ("results", "settings", "status", "following"),
    [
        ([some_result(), some_result()], {}, 0, "penstock show out -n 5"),
        ([some_result(), some_failure()], {}, 1, "penstock resume out --retry failed"),
        ([some_failure(), CUT], {}, 1, "penstock resume out --retry failed"),
        ([some_result(), CUT], {}, 0,
         "penstock resume out --retry length"),
        ([some_result(), some_result()], {"first": 2}, 0, "penstock resume out -n all"),
        ([some_result(), some_failure()], {"first": 2}, 1, "penstock resume out -n all"),
        ([some_result(), CUT], {"params": {"max_tokens": 50}}, 0,
         "penstock resume out --retry length --param max_tokens=100"),
        ([some_result(), some_failure()], {"limits": {"max_failed": 1}}, 0,
         "penstock resume out --retry failed"),
        ([some_failure(), some_failure()], {"limits": {"max_failed": 1}}, 1,
         "penstock resume out --retry failed"),
        ([some_result(), some_failure()], {"limits": {"max_failed": "50%"}}, 0,
         "penstock resume out --retry failed"),
        ([some_result(), some_failure()], {"limits": {"max_failed": "49.9%"}}, 1,
         "penstock resume out --retry failed"),
    ],
)  # fmt: skip
def test_a_finished_run_has_the_status_of_its_failures(
    results: list[Result], settings: dict[str, Any], status: int, following: str
) -> None:
    summary = ended(*results, **settings)
    assert (summary.state, summary.exit_status, summary.next) == ("finished", status, following)
    assert summary.stopped_by is None


@pytest.mark.parametrize(
    ("reason", "state", "status", "stopped_by"),
    [
        (ProviderStopped("bad key"), "stopped", 3, "provider stopped"),
        (BudgetReached("2 rows have failed"), "stopped", 4, "budget reached"),
        (MachineFault("disk full"), "stopped", 5, "machine fault"),
        (Interrupted("interrupted"), "interrupted", 130, "interrupted"),
        (JobError("no way out"), "stopped", 2, "job error"),
    ],
)
def test_a_stopped_run_says_what_stopped_it_and_goes_on_with_resume(
    reason: StopsRun, state: str, status: int, stopped_by: str
) -> None:
    for rows in (2, None):
        summary = ended(some_failure(), rows=rows, reason=reason, first=2)
        assert (summary.state, summary.exit_status) == (state, status)
        assert (summary.stopped_by, summary.message) == (stopped_by, str(reason))
        assert summary.stopped_at is not None
        assert summary.next == "penstock resume out"


@pytest.mark.parametrize(
    ("mend", "settings", "flags"),
    [
        ("--base-url URL", {}, "--base-url URL"),
        ("--timeout SECONDS", {"api_key_file": "key"}, "--timeout SECONDS"),
        ("--api-key-env NAME", {}, "--api-key-env NAME"),
        ("--api-key-env NAME", {"api_key_file": "key"}, "--api-key-file PATH"),
    ],
)
def test_the_next_command_after_a_provider_that_stopped_it_has_a_place_for_what_mends_it(
    mend: str, settings: dict[str, Any], flags: str
) -> None:
    summary = ended(rows=2, reason=ProviderStopped("wrong", mend=mend), **settings)
    assert summary.next == f"penstock resume out {flags}"


def test_a_run_that_lacks_rows_without_a_reason_is_not_called_finished() -> None:
    summary = ended(some_result())
    assert (summary.state, summary.exit_status) == ("interrupted", 130)
    assert summary.next == "penstock resume out"


def test_a_run_whose_last_rows_landed_while_it_stopped_is_finished() -> None:
    summary = ended(some_result(), some_result(), reason=Interrupted("interrupted"))
    assert (summary.state, summary.exit_status) == ("finished", 0)


def test_a_run_whose_answers_could_not_be_written_is_not_finished() -> None:
    summary = ended(some_result(), some_result(), reason=MachineFault("disk full"))
    assert (summary.state, summary.exit_status) == ("stopped", 5)
    assert summary.next == "penstock resume out"


@pytest.mark.parametrize("name", ["my answers.csv", "it's", "a;b", "$HOME", "中文", "out/"])
@pytest.mark.parametrize("reason", [None, Interrupted("interrupted")])
def test_the_next_command_can_be_pasted_whatever_the_name(
    name: str, reason: StopsRun | None
) -> None:
    for results in ([], [some_result(), some_failure()], [CUT, CUT]):
        summary = ended(*results, name=name, reason=reason)
        assert summary.next is not None
        assert shlex.split(summary.next)[2] == name


@pytest.mark.parametrize(
    ("max_failed", "rows", "allowed"),
    [
        (None, 10, 7.0),
        ("0", 10, 0),
        ("20", None, 20),
        ("1.5%", 1000, 15),
        ("100%", 10, 10),
        ("1.5%", None, float("inf")),
    ],
)
def test_max_failed_is_a_number_or_a_share(
    max_failed: str | None, rows: int | None, allowed: float
) -> None:
    assert failures_allowed(max_failed, rows, otherwise=7.0) == pytest.approx(allowed)
