"""The summary's file and its documented keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from some_results import some_failure, some_result

from runner.errors import MachineFault
from runner.summary import Summary
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTED = (
    "run, state, rows, succeeded, failed, pending, truncated, requests, retries, "
    "unmetered_attempts, prompt_tokens, completion_tokens, total_tokens, cost, currency, "
    "elapsed_s, stopped_by, stopped_at, message, next"
)


def summary(**changes: Any) -> Summary:
    tally = Tally()
    for result in (some_result(0), some_result(1, finish_reason="length"), some_failure(2)):
        tally.add(result)
    usual: dict[str, Any] = {
        "run": "out", "state": "running", "rows": 5, "tally": tally, "elapsed_s": 1.234,
    }  # fmt: skip
    return Summary(**{**usual, **changes})


def test_the_keys_are_the_documented_ones_in_their_order() -> None:
    assert ", ".join(summary().to_json()) == DOCUMENTED


def test_the_values_are_the_tally_s() -> None:
    assert summary().to_json() == {
        "run": "out", "state": "running", "rows": 5, "succeeded": 2, "failed": 1, "pending": 2,
        "truncated": 1, "requests": 5, "retries": 2, "unmetered_attempts": 1,
        "prompt_tokens": 44, "completion_tokens": 36, "total_tokens": 80, "cost": 0.000246,
        "currency": "USD", "elapsed_s": 1.234, "stopped_by": None, "stopped_at": None,
        "message": None, "next": None,
    }  # fmt: skip


def test_what_is_unknown_is_null_and_never_zero() -> None:
    data = summary(rows=None).to_json()
    assert (data["rows"], data["pending"]) == (None, None)
    tally = Tally()
    tally.add(some_result(cost=None, currency=None))
    assert summary(tally=tally).to_json()["cost"] is None


def test_more_results_than_rows_in_scope_leave_nothing_pending() -> None:
    assert summary(rows=2).pending == 0


@pytest.mark.parametrize("status", [None, 0, 130])
def test_what_was_written_is_read(tmp_path: Path, status: int | None) -> None:
    path = tmp_path / "summary.json"
    written = summary(
        exit_status=status, stopped_by="interrupted", stopped_at=1.5, message="文", next="p r o",
        rehearsal=True, in_flight=3, most_in_flight=5, killed_attempts=7, parked=2, export="a.csv",
    )  # fmt: skip
    written.write(path)
    read = Summary.read(path)
    assert read is not None
    assert read.written_at is not None
    assert replace(read, written_at=None) == written
    assert orjson.loads(path.read_bytes())["succeeded"] == 2


@pytest.mark.parametrize("text", [None, b"", b"{", b"[]", b"{}", b'{"tally":[]}', b"\xff"])
def test_a_summary_that_is_not_there_or_not_whole_is_none(
    tmp_path: Path, text: bytes | None
) -> None:
    path = tmp_path / "summary.json"
    if text is not None:
        path.write_bytes(text)
    assert Summary.read(path) is None


def test_a_summary_that_cannot_be_written_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="cannot write"):
        summary().write(tmp_path / "none" / "summary.json")
