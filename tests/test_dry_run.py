"""Every row rendered, nothing sent: what could not be asked, and what would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.dry_run import MOST_EXAMPLES, DryRun, dry_run
from runner.errors import MachineFault
from runner.job import Job
from runner.preflight import prepare

if TYPE_CHECKING:
    from pathlib import Path


def tried(path: Path, **job: Any) -> DryRun:
    return dry_run(prepare(Job(**{"prompt": "{{ text }}", **job}), [str(path)]))


def write(folder: Path, *texts: str) -> Path:
    path = folder / "data.csv"
    path.write_text("id,text\n" + "".join(f'{row},"{text}"\n' for row, text in enumerate(texts)))
    return path


def test_the_first_two_bodies_are_shown_as_they_would_be_sent(tmp_path: Path) -> None:
    path = write(tmp_path, "", "one", "two", "three")
    found = tried(path, params={"seed": 7}, stream=True, system="Be brief.")
    assert [body["messages"][1]["content"] for body in found.requests] == ["one", "two"]
    assert found.requests[0] == {
        "model": "qwen-plus",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one"},
        ],
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_rows_that_could_not_be_asked_are_counted_by_kind_and_the_first_are_told(
    tmp_path: Path,
) -> None:
    found = tried(write(tmp_path, *["", "x"] * 30))
    assert (found.rows, found.ok, found.flawed) == (60, 30, {"empty_prompt": 30})
    assert [one.row for one in found.examples] == list(range(0, 2 * MOST_EXAMPLES, 2))


def test_a_flaw_deep_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    good = "a,bbbbbbbbbbbbbbbbbbbb\n" * 60_000  # past the beginning that is refused at once
    path.write_text("id,text\n" + good + "a,b,c\n" + "last,row\n")
    found = tried(path)
    assert (found.rows, found.flawed) == (60_002, {"input": 1})
    assert (found.examples[0].row, found.examples[0].error_type) == (60_000, "input")
    assert found.examples[0].message.startswith(f"line 60002 of {path}: expected 2 fields")


def test_only_rows_in_scope_are_read(tmp_path: Path) -> None:
    assert tried(write(tmp_path, "a", "b", "", "d"), first=2).to_json() == {
        "rows": 2,
        "ok": 2,
        "flawed": {},
        "examples": [],
        "double_ids": None,
        "requests": [
            {"model": "qwen-plus", "messages": [{"role": "user", "content": text}]}
            for text in ("a", "b")
        ],
    }


def test_the_reader_is_told_how_far_it_is(tmp_path: Path) -> None:
    flight = prepare(Job(prompt="{{ text }}"), [str(write(tmp_path, *"abc" * 1000))])
    told: list[int] = []
    dry_run(flight, on_rows=told.append)
    assert told == [1024, 2048, 3000]


def test_a_file_that_goes_meanwhile_is_a_fault_of_this_machine(tmp_path: Path) -> None:
    path = write(tmp_path, "a")
    flight = prepare(Job(prompt="{{ text }}"), [str(path)])
    path.unlink()
    with pytest.raises(MachineFault):
        dry_run(flight)


def test_ids_that_stand_twice_are_told(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("id,text\n1,a\n2,b\n1,c\n")
    job = Job(prompt="{{ text }}", id_column="id")
    found = dry_run(prepare(job, [str(path)]))
    assert found.to_json()["double_ids"] == {"column": "id", "rows": 1, "first": 2, "like": 0}
    assert dry_run(prepare(job.model_copy(update={"first": 2}), [str(path)])).double_ids is None
