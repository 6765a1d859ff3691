"""Is it a new run, the same one, or another one's folder?"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_runs import ROWS, assert_complete, provider, write_csv, write_parquet

from runner.begin import begin, run, run_sync
from runner.errors import DatasetError, Refused, RunFolderError
from runner.folder import RunFolder
from runner.going_on import go_on
from runner.job import Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from small_runs import Provider

# A run that is never let go asks nobody; this address answers nobody.
NOWHERE: dict[str, Any] = {
    "prompt": "Say {{ text }}",
    "base_url": "http://127.0.0.1:9/v1",
    "limits": {"concurrency": 1},
}


@pytest.fixture(autouse=True)
def _a_key_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return [write_csv(tmp_path / "d.csv")]


async def finished(at: Provider, paths: list[str], name: str = "out", **settings: Any) -> None:
    assert (await at.begin(paths, name, **settings).go()).exit_status == 0
    assert at.requests == ROWS


def test_nothing_is_made_before_the_run_goes(tmp_path: Path, paths: list[str]) -> None:
    before = sorted(tmp_path.iterdir())
    begin(Job.build(NOWHERE), paths, "out")
    begin(Job.build(NOWHERE), paths, "answers.csv")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompt": "Ask {{ text }}"}, ["prompt: the run has 'Say {{ text }}', this command"]),
        ({"params": {"seed": 1}}, ["params: the run has {}, this command {'seed': 1}"]),
        ({"keep": ["id"], "prefix": "p_"}, ["keep: the run has None", "prefix: the run has ''"]),
        ({"model": "qwen-max", "system": "Be brief."}, ["system: ", "model: "]),
    ],
)
async def test_another_job_is_refused_and_every_difference_named(
    monkeypatch: pytest.MonkeyPatch, paths: list[str], changes: dict[str, Any], told: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, paths)
        with pytest.raises(RunFolderError) as refused:
            at.begin(paths, "out", **changes)
        for line in told:
            assert f"\n  {line}" in str(refused.value)
        assert str(refused.value).count("\n  ") == len(told)
        assert "Its answers are kept" in str(refused.value)
        assert "penstock resume out" in str(refused.value)
        assert at.requests == 0
    assert_complete("out")


async def test_other_limits_scope_and_delivery_are_the_same_run(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        assert (await at.begin(paths, "out", first=4).go()).rows == 4
        assert at.requests == 4
        wider = {"first": None, "stream": True, "limits": {"concurrency": 2, "max_attempts": 3}}
        assert (await at.begin(paths, "out", **wider).go()).exit_status == 0
        assert at.requests == ROWS - 4
    assert_complete("out")
    assert RunFolder(Path("out")).read_run().job.limits.concurrency == 2


async def test_parameters_in_another_order_are_the_same_run(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, paths, params={"temperature": 0.5, "seed": 3})
        await at.begin(paths, "out", params={"seed": 3, "temperature": 0.5}).go()
        assert at.requests == 0


@pytest.mark.parametrize("rehearsal", [True, False])
async def test_a_rehearsal_and_a_real_run_never_mix(
    monkeypatch: pytest.MonkeyPatch, paths: list[str], *, rehearsal: bool
) -> None:
    async with provider(monkeypatch) as at:
        job = at.job(first=1)
        await begin(job, paths, "out", rehearsal=rehearsal).go()
        with pytest.raises(RunFolderError, match="elsewhere with -o") as refused:
            begin(job, paths, "out", rehearsal=not rehearsal)
        kinds = ["a rehearsal", "a run against the provider"]
        has, wants = kinds if rehearsal else kinds[::-1]
        assert str(refused.value) == f"out holds {has}; start {wants} elsewhere with -o"


async def test_a_rehearsal_is_resumed_as_a_rehearsal(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        await begin(at.job(first=1), paths, "out", rehearsal=True).go()
        monkeypatch.delenv("DASHSCOPE_API_KEY")
        again = await go_on("out", changes={"first": 2}).go()
        assert (again.rehearsal, again.rows, at.requests) == (True, 2, 0)


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_a_folder_with_other_things_in_it_is_refused(paths: list[str], name: str) -> None:
    folder = Path("out" if name == "out" else "out.csv.run")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds other files; name a folder that is new"):
        begin(Job.build(NOWHERE), paths, name)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_file_is_never_overwritten(paths: list[str]) -> None:
    for name in ("answers.csv", "out"):
        Path(name).write_text("mine")
        with pytest.raises(RunFolderError, match=f"-o {name}: "):
            begin(Job.build(NOWHERE), paths, name)
        assert Path(name).read_text() == "mine"


async def test_a_start_that_was_killed_before_it_was_a_run_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    folder = RunFolder(Path("out"))
    folder.prepare()
    with folder.lock():
        (folder.path / ".run.json.tmp").write_text('{"half')
    async with provider(monkeypatch) as at:
        await finished(at, paths)


@pytest.fixture
async def emptied(monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> AsyncIterator[Provider]:
    """A run that has paid for answers of which nothing is there any more."""
    async with provider(monkeypatch) as at:
        await finished(at, paths)
        for path in RunFolder(Path("out")).parts.iterdir():
            path.write_bytes(b"x")
        go_on("out", accept="changes")
        shutil.rmtree(RunFolder(Path("out")).superseded)
        yield at


@pytest.mark.parametrize("switch", [None, "0002"])
async def test_an_emptied_run_is_begun_anew_and_its_bills_still_count(
    emptied: Provider, paths: list[str], switch: str | None
) -> None:
    folder = RunFolder(Path("out"))
    folder.write_run(replace(folder.read_run(), switch=switch))  # cut short by a crash
    summary = await emptied.begin(paths, "out", prompt="Other {{ text }}").go()
    assert (summary.exit_status, emptied.requests) == (0, ROWS)
    assert summary.superseded is not None
    assert (summary.superseded["rows"], summary.superseded["requests"]) == (ROWS, ROWS)


async def test_a_rehearsal_takes_over_no_bills_of_an_emptied_run(
    emptied: Provider, paths: list[str]
) -> None:
    with pytest.raises(RunFolderError, match="start a rehearsal elsewhere with -o"):
        begin(emptied.job(prompt="Other {{ text }}"), paths, "out", rehearsal=True)


async def test_a_touched_file_goes_on(monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, paths)
        os.utime(paths[0], ns=(10**18, 10**18))
        assert (await at.begin(paths, "out").go()).exit_status == 0
        assert (await go_on("out").go()).exit_status == 0
        assert at.requests == 0
    assert RunFolder(Path("out")).read_run().stamp[0]["mtime_ns"] == 10**18


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,text\r\n000,0\r\n", r"d\.csv had 79 bytes and has 16"),
        ("id,text\r\n" + "".join(f"{9 - row:03d},{row}\r\n" for row in range(ROWS)),
         r"the contents of .*d\.csv have changed"),
    ],
)  # fmt: skip
async def test_a_changed_file_is_refused_and_what_changed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], content: str, told: str
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, paths)
        (tmp_path / "d.csv").write_bytes(content.encode())
        with pytest.raises(DatasetError, match=told) as refused:
            at.begin(paths, "out")
        assert "Its answers are kept." in str(refused.value)
        assert "penstock plan out" in str(refused.value)
        with pytest.raises(DatasetError, match=told):
            go_on("out")
        assert at.requests == 0
    assert_complete("out")


async def test_a_file_more_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "a.parquet")
    async with provider(monkeypatch) as at:
        await finished(at, ["data"])
        write_parquet(tmp_path / "data" / "b.parquet")
        with pytest.raises(DatasetError, match="it had 1 file and has 2"):
            go_on("out")


async def test_a_resume_finds_the_dataset_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "d.csv")
    (tmp_path / "elsewhere").mkdir()
    async with provider(monkeypatch) as at:
        await at.begin("d.csv", "out", first=3).go()
        monkeypatch.chdir(tmp_path / "elsewhere")
        summary = await go_on("../out", changes={"first": None}).go()
        assert (summary.exit_status, at.requests) == (0, ROWS)
        assert summary.next == "penstock show ../out -n 5"
    assert_complete("../out")


async def test_a_dataset_that_has_moved_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        await at.begin(paths, "out", first=3).go()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "d.csv").rename(tmp_path / "elsewhere" / "e.csv")
        with pytest.raises(DatasetError, match=r"d\.csv"):
            go_on("out")
        await go_on("out", ["elsewhere/e.csv"], changes={"first": 5}).go()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert (await go_on("../out", changes={"first": None}).go()).exit_status == 0
        assert at.requests == ROWS
    kept = RunFolder(tmp_path / "out").read_run()
    assert kept.paths == (str(tmp_path / "elsewhere" / "e.csv"),)
    assert kept.stamp[0]["path"] == kept.paths[0]


async def test_a_resume_changes_what_is_asked_for_rows_asked_again_alone(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, paths)
    with pytest.raises(RunFolderError, match=r"model: the run has 'qwen-plus'.*\n.*params: "):
        go_on("out", changes={"model": "qwen-max", "params": {"seed": 1}})
    go_on("out", changes={"model": "qwen-plus"})
    again = go_on("out", changes={"params": {"max_tokens": 9}}, retry=["failed"])
    assert again.flight.job.params == {}, "the run itself stays what it was"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompt": "Say {{ missing }}"}, "missing"),
        ({"keep": ["none"]}, "--keep none"),
        ({"id_column": "none"}, "--id-column none"),
        ({"api_key_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
        ({"ca_file": "none.pem", "base_url": "https://127.0.0.1:9/v1"}, "--ca-file none.pem"),
    ],
)
def test_what_is_refused_leaves_no_folder(
    paths: list[str], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Refused, match=told):
        run_sync(Job.build({**NOWHERE, **changes}), paths, "out")
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_made_is_refused(paths: list[str]) -> None:
    Path("file").write_text("text")
    with pytest.raises(RunFolderError, match="cannot make the run folder"):
        run_sync(Job.build(NOWHERE), paths, "file/out")


async def test_one_call_does_all_and_the_same_call_goes_on(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    async with provider(monkeypatch) as at:
        for _ in range(2):
            summary = await run(at.job(), paths[0], "out")
            assert (summary.exit_status, summary.tally.rows) == (0, ROWS)
        assert at.requests == ROWS
    assert_complete("out")
