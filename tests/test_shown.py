"""Rows one by one: the request that was sent, what came of it, and what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pyarrow.parquet as pq
import pytest
from some_runs import SomeRun, questions

from runner.client.client import _STREAM_KEYS
from runner.errors import MachineFault
from runner.kept import Kept
from runner.shown import ShownRows, as_sent

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> SomeRun:
    """Block 0 sealed with one failure, block 1 without, block 2 open with one."""
    made = SomeRun(tmp_path, questions(13))
    made.seal(0, [made.answer(0), made.failure(1), made.answer(2), made.answer(3)])
    made.seal(1)
    made.journal(made.answer(8), made.failure(10))
    return made


def rows(run: SomeRun) -> ShownRows:
    return ShownRows(run.folder, run.run)


def asked(run: SomeRun, row: int) -> Any:
    shown = rows(run).row(row)
    assert shown is not None
    assert shown.request is not None
    return shown.request["messages"][0]["content"]


def test_a_row_comes_with_its_id_request_and_result(run: SomeRun) -> None:
    shown = rows(run).row(2)
    assert shown is not None
    assert (shown.row, shown.id, shown.status) == (2, "id-2", "succeeded")
    assert shown.request == {
        "model": "qwen-plus",
        "messages": [{"role": "user", "content": "question 2"}],
    }
    assert (shown.is_sent, shown.note) == (True, None)
    assert shown.result is not None
    assert shown.result.completion == "answer 2"


def test_a_pending_row_has_the_request_that_will_be_sent(run: SomeRun) -> None:
    shown = rows(run).row(12)
    assert shown is not None
    assert (shown.status, shown.result, shown.is_sent, shown.note) == ("pending", None, None, None)
    assert asked(run, 12) == "question 12"


@pytest.mark.parametrize("known_end", [True, False])
def test_there_is_no_row_beyond_the_end(tmp_path: Path, known_end: bool) -> None:
    run = SomeRun(tmp_path, questions(13), known_end=known_end)
    assert rows(run).row(13) is None
    assert rows(run).total_rows == 13


def test_the_first_rows_with_a_result_or_a_failure_are_found_in_order(run: SomeRun) -> None:
    assert [one.row for one in rows(run).first(5)] == [0, 1, 2, 3, 4]
    assert [one.row for one in rows(run).first(50)] == [*range(9), 10]
    assert [one.row for one in rows(run).first(5, failed=True)] == [1, 10]
    assert [one.row for one in rows(run).first(1, failed=True)] == [1]


def test_only_the_blocks_that_are_shown_are_read(
    run: SomeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    sealed = Kept._sealed

    def spied(self: Kept, block: int, choose: Any) -> Any:
        read.append(block)
        return sealed(self, block, choose)

    monkeypatch.setattr(Kept, "_sealed", spied)
    rows(run).row(5)
    assert read == [1]
    read.clear()
    rows(run).first(5, failed=True)
    assert read == [0]
    read.clear()
    rows(run).first(3)
    assert read == [0]


def test_a_lost_part_matters_only_to_its_own_rows(run: SomeRun) -> None:
    run.folder.seals(run.run).part(0).unlink()
    shown = rows(run).row(5)
    assert shown is not None
    assert shown.status == "succeeded"
    with pytest.raises(MachineFault, match="is missing"):
        rows(run).row(0)


def test_answers_are_shown_without_the_dataset(run: SomeRun) -> None:
    run.data.unlink()
    shown = rows(run).row(2)
    assert shown is not None
    assert shown.result is not None
    assert (shown.result.completion, shown.request, shown.id) == ("answer 2", None, None)
    assert shown.note is not None
    assert shown.note.startswith("the request cannot be rendered: ")
    assert [one.row for one in rows(run).first(50, failed=True)] == [1, 10]
    pending = rows(run).row(12)
    assert pending is not None
    assert (pending.status, pending.request) == ("pending", None)
    assert rows(run).row(13) is None


def test_a_row_that_has_changed_is_not_passed_off_as_what_was_sent(run: SomeRun) -> None:
    texts = ["question X" if row == 2 else f"question {row}" for row in range(13)]
    pq.write_table(questions(13).set_column(1, "text", [texts]), run.data)
    changed, same = rows(run).row(2), rows(run).row(3)
    assert changed is not None
    assert same is not None
    assert changed.is_sent is False
    assert changed.note == (
        "this is not the request that was sent: the dataset's files have changed since the run "
        "began"
    )
    assert (same.is_sent, same.note) == (True, None)


def test_a_row_asked_again_with_other_settings_is_told_apart(run: SomeRun) -> None:
    run.journal(run.answer(1, key="f" * 32))
    shown = rows(run).row(1)
    assert shown is not None
    assert shown.is_sent is False
    assert shown.note is not None
    assert "asked again with other settings" in shown.note


def test_a_row_that_was_never_sent_has_its_reason_in_the_result(tmp_path: Path) -> None:
    run = SomeRun(tmp_path, questions(4), prompt="{{ text if note is none else note }}")
    run.journal(run.failure(0, error_type="empty_prompt"))
    shown = rows(run).row(0)
    assert shown is not None
    assert (shown.status, shown.request, shown.note) == ("failed", None, None)
    pending = rows(run).row(2)
    assert pending is not None
    assert pending.note is not None
    assert pending.note.startswith("no request can be made of this row: the prompt is blank")


def test_a_streamed_body_has_what_the_client_adds() -> None:
    body = b'{"model":"m"}'
    assert as_sent(body, stream=False) == {"model": "m"}
    assert as_sent(body, stream=True) == orjson.loads(body[:-1] + _STREAM_KEYS)
