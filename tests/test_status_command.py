"""`penstock status` as a person sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands import run_here
from some_runs import SomeRun, questions

from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = [
    *("run", "state", "rows", "succeeded", "failed", "pending", "truncated"),
    *("requests", "retries", "unmetered_attempts"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "cost", "currency"),
    *("elapsed_s", "stopped_by", "stopped_at", "message", "next"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SomeRun:
    monkeypatch.chdir(tmp_path)
    made = SomeRun(tmp_path, questions(12))
    made.seal(0, [made.answer(0), made.failure(1), made.answer(2), made.answer(3)])
    return made


@pytest.mark.usefixtures("run")
def test_it_shows_counts_and_ends_with_the_next_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = run_here(capsys, "status", "run")
    assert ended.status == 0
    assert ended.out.startswith("run: dead\n")
    assert "12: 3 succeeded, 1 failed, 8 pending" in ended.out
    assert ended.out.splitlines()[-1].split(maxsplit=1) == ["next", "penstock resume run"]


def test_json_has_the_documented_keys(run: SomeRun, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_here(capsys, "status", run.name, "--json").json()
    assert list(found) == KEYS
    assert (found["run"], found["state"], found["pending"]) == (run.name, "dead", 8)


def test_without_a_run_those_below_are_listed(
    run: SomeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.tell(state="finished", exit_status=1, tally=Tally(rows=12, failed=2))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    ended = run_here(capsys, "status")
    assert ended.status == 0
    first, second = ended.out.splitlines()
    assert first.split()[:2] == ["broken", "unreadable"]
    assert second.split()[:6] == ["run", "finished", "12/12", "rows", "2", "failed"]
    found = run_here(capsys, "status", "--json").json()
    assert [(one["run"], one["state"]) for one in found["runs"]] == [
        ("broken", None),
        ("run", "finished"),
    ]


def test_a_run_is_listed_by_the_file_that_stands_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = SomeRun(tmp_path, questions(3))
    run.folder.path.rename("answers.csv.run")
    path = tmp_path / "answers.csv.run" / "run.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "export": str(tmp_path / "answers.csv"), "crc": None}))
    assert run_here(capsys, "status").out.split()[0] == "answers.csv"
    assert run_here(capsys, "status", "answers.csv", "--json").json()["run"] == "answers.csv"


def test_where_there_is_no_run_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    ended = run_here(capsys, "status")
    assert (ended.status, ended.out) == (0, "")
    assert "no run" in ended.err
    assert run_here(capsys, "status", "--json").json() == {"runs": []}
    for name, told in ((".", "holds no run"), ("nowhere", "no such run"), ("file.txt", "a file")):
        ended = run_here(capsys, "status", name)
        assert ended.status == 2
        assert told in ended.err
    assert run_here(capsys, "status", "--follow").status == 2


def beats(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> list[float]:
    """One of the steps happens in each pause between looks; the pauses."""
    left, slept = list(steps), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        left.pop(0)()

    monkeypatch.setattr("time.sleep", sleep)
    return slept


def test_following_tells_of_changes_until_the_end_and_has_the_runs_status(
    run: SomeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.folder.lock():
        run.tell(tally=Tally(rows=5))
        slept = beats(
            monkeypatch,
            lambda: None,
            lambda: run.tell(tally=Tally(rows=9), state="draining"),
            lambda: run.tell(tally=Tally(rows=9), state="stopped", exit_status=3),
        )
        ended = run_here(capsys, "status", "run", "--follow")
    assert ended.status == 3
    assert [line.split(",")[0] for line in ended.err.splitlines()] == [
        "running: 5/12 rows",
        "draining: 9/12 rows",
    ]
    assert ended.out.startswith("run: stopped\n")
    assert min(slept) >= 1.0


def test_following_ends_when_the_process_dies(
    run: SomeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = run.folder.lock()
    lock.__enter__()
    run.tell(tally=Tally(rows=2))
    beats(monkeypatch, lock.__exit__)
    ended = run_here(capsys, "status", "run", "--follow", "--json")
    assert ended.status == 5
    assert (ended.json()["state"], ended.json()["succeeded"]) == ("dead", 3)
