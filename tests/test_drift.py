"""What makes a job or a dataset another one."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runner.dataset import open_dataset
from runner.drift import job_differences, same_dataset, same_files
from runner.folder import RunFile
from runner.job import Job

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: dict[str, Any] = {"prompt": "{{ text }}", "model": "qwen-plus"}


def run_of(job: Job, **changes: Any) -> RunFile:
    usual: dict[str, Any] = {
        "paths": (), "stamp": [], "digest": None, "total_rows": None, "block_rows": 64,
        "rehearsal": False, "export": None, "created": 0.0, "version": "0",
    }  # fmt: skip
    return RunFile(job=job, **{**usual, **changes})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("prompt", "Say {{ text }}"),
        ("system", "You are brief."),
        ("model", "qwen-max"),
        ("params", {"temperature": 0.5}),
        ("keep", ["text"]),
        ("prefix", "plus_"),
        ("id_column", "id"),
        ("csv_delimiter", ";"),
        ("csv_encoding", "gb18030"),
        ("format", "csv"),
    ],
)
def test_a_setting_that_decides_what_is_asked_is_named(setting: str, value: Any) -> None:
    run = run_of(Job.build(SETTINGS))
    (line,) = job_differences(run, Job.build({**SETTINGS, setting: value}))
    assert line.startswith(f"{setting}: the run has ")
    assert repr(value) in line


def test_every_setting_that_differs_is_named() -> None:
    other = Job.build({"prompt": "x", "model": "y", "prefix": "z"})
    lines = job_differences(run_of(Job.build(SETTINGS)), other)
    assert [line.partition(":")[0] for line in lines] == ["prompt", "model", "prefix"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("first", 5),
        ("region", "beijing"),
        ("base_url", "http://127.0.0.1:1/v1"),
        ("api_key_env", "OTHER"),
        ("api_key_file", "key.txt"),
        ("ca_file", "ca.pem"),
        ("stream", True),
        ("wait_timeout_s", 60),
        ("limits", {"qps": 1, "max_failed": "5%"}),
    ],
)
def test_scope_delivery_and_limits_are_no_difference(setting: str, value: Any) -> None:
    run = run_of(Job.build(SETTINGS))
    assert job_differences(run, Job.build({**SETTINGS, setting: value})) == []


def test_the_order_of_parameters_is_no_difference() -> None:
    first = {"temperature": 0.5, "stop": ["a"], "extra": {"x": 1, "y": 2}}
    second = {"extra": {"y": 2, "x": 1}, "stop": ["a"], "temperature": 0.5}
    run = run_of(Job.build({**SETTINGS, "params": first}))
    assert job_differences(run, Job.build({**SETTINGS, "params": second})) == []
    second["stop"] = ["b"]
    assert len(job_differences(run, Job.build({**SETTINGS, "params": second}))) == 1


def test_a_long_value_is_shortened_in_the_message() -> None:
    run = run_of(Job.build({**SETTINGS, "prompt": "x" * 5000}))
    (line,) = job_differences(run, Job.build(SETTINGS))
    assert len(line) < 200


def test_files_are_the_same_wherever_they_lie_and_whenever_they_were_touched(
    tmp_path: Path,
) -> None:
    path, moved = tmp_path / "d.csv", tmp_path / "moved.csv"
    path.write_text("text\none\n")
    dataset = open_dataset([str(path)])
    run = run_of(Job.build(SETTINGS), stamp=dataset.stamp(), digest=dataset.digest())
    assert same_files(run, dataset.stamp())
    path.rename(moved)
    assert same_files(run, open_dataset([str(moved)]).stamp())
    os.utime(moved, ns=(1, 1))
    assert not same_files(run, open_dataset([str(moved)]).stamp())
    assert same_dataset(run, open_dataset([str(moved)]))
    assert not same_dataset(replace(run, digest=None), open_dataset([str(moved)]))
    moved.write_text("text\ntwo\n")
    assert not same_dataset(run, open_dataset([str(moved)]))


def test_another_number_of_files_is_another_dataset(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("text\none\n")
    one = open_dataset([str(tmp_path / "a.csv")])
    run = run_of(Job.build(SETTINGS), stamp=one.stamp(), digest=one.digest())
    assert not same_dataset(run, open_dataset([str(tmp_path)]))
