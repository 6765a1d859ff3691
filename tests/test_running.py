"""One process's part in a run: what it sends, what it leaves, how it ends."""

from __future__ import annotations

import asyncio
import csv
import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
import pytest
from small_folder import until
from small_runs import KEY, ROWS, assert_complete, parts, provider, write_csv, write_parquet

from runner.durable import machine_fault
from runner.errors import BudgetReached, MachineFault, RunFolderError
from runner.folder import RunFolder
from runner.going_on import go_on
from runner.simulator import Scenario
from runner.summary import Summary

if TYPE_CHECKING:
    from pathlib import Path


def failing(text: str, line: str = "data_inspection_failed") -> Scenario:
    """Every request whose prompt ends so gets this error."""
    return Scenario.build({"rule": [{"matches": f"{text}$", "answer": line}]})


async def test_a_run_leaves_one_row_for_every_row_and_says_that_it_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        summary = await at.begin(write_parquet(tmp_path / "d.parquet"), tmp_path / "run").go()
        assert at.requests == ROWS
    assert_complete(tmp_path / "run")
    assert (summary.state, summary.exit_status, summary.message) == ("finished", 0, None)
    assert (summary.rows, summary.tally.succeeded, summary.pending) == (ROWS, ROWS, 0)
    assert summary.tally.total_tokens == sum(row["total_tokens"] for row in parts(tmp_path / "run"))
    written = Summary.read(RunFolder(tmp_path / "run").summary)
    assert written is not None
    assert (written.state, written.tally) == (summary.state, summary.tally)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
async def test_repeating_a_finished_run_sends_nothing_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    paths = write_csv(tmp_path / "d.csv")
    async with provider(monkeypatch, scenario=failing("Say 3")) as at:
        first = await at.begin(paths, tmp_path / "run", format=kind).go()
        assert at.requests == ROWS
        second = await at.begin(paths, tmp_path / "run", format=kind).go()
        third = await go_on(str(tmp_path / "run")).go()
        assert at.requests == 0
    assert (first.exit_status, first.tally.failed) == (1, 1)
    for again in (second, third):
        assert (again.state, again.exit_status, again.next) == ("finished", 1, first.next)
        assert again.tally == first.tally


async def test_the_first_rows_are_kept_when_all_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        first = await at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run", first=5).go()
        assert (first.exit_status, first.rows, at.requests) == (0, 5, 5)
        assert first.next == f"penstock resume {tmp_path}/run -n all"
        summary = await go_on(str(tmp_path / "run"), changes={"first": None}).go()
        assert at.requests == ROWS - 5
    assert (summary.rows, summary.pending, summary.exit_status) == (ROWS, 0, 0)
    assert_complete(tmp_path / "run")


async def test_a_stopped_run_says_how_to_go_on_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch, latency_s=(0.2, 0.2)) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run", limits={"concurrency": 2})
        going = asyncio.create_task(run.go())
        await until(lambda: run.snapshot().in_flight == 2)
        run.stop()
        assert run.snapshot().state == "draining"
        summary = await going
        sent = at.requests
        assert 2 <= summary.tally.rows == sent < ROWS, "replies on their way still count"
        assert (summary.state, summary.exit_status) == ("interrupted", 130)
        assert summary.next == f"penstock resume {tmp_path}/run"
        first_s = summary.elapsed_s
        summary = await go_on(str(tmp_path / "run")).go()
        assert (summary.exit_status, at.requests) == (0, ROWS - sent)
        assert summary.elapsed_before_s == pytest.approx(first_s, abs=0.001)
    assert_complete(tmp_path / "run")


async def test_a_stop_before_anything_is_sent_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        run = at.begin(write_parquet(tmp_path / "d.parquet"), tmp_path / "run")
        run.stop()
        summary = await run.go()
        assert at.requests == 0
        assert (summary.state, summary.exit_status) == ("interrupted", 130)
        await go_on(str(tmp_path / "run")).go()
    assert_complete(tmp_path / "run")


async def test_a_second_stop_gives_up_the_replies_on_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Scenario.build({"rule": [{"matches": "Say", "answer": "hang", "times": 2}]})
    async with provider(monkeypatch, scenario=slow) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run", limits={"concurrency": 2})
        going = asyncio.create_task(run.go())
        await until(lambda: at.arrived == 2)
        run.stop()
        run.stop()
        summary = await going
        assert (summary.tally.rows, summary.exit_status, at.arrived) == (0, 130, 2)
        assert (summary.tally.unmetered_attempts, summary.killed_attempts) == (2, 0)
        assert (await go_on(str(tmp_path / "run")).go()).exit_status == 0
    assert_complete(tmp_path / "run")


async def test_counts_that_cannot_be_written_let_replies_land(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.beats.BEAT_S", 0.02)
    path = RunFolder(tmp_path / "run").summary
    async with provider(monkeypatch, latency_s=(0.3, 0.3)) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run")
        going = asyncio.create_task(run.go())
        await until(lambda: at.arrived == 4)
        path.unlink()
        path.mkdir()
        summary = await going
        assert summary.tally.rows == at.requests == 4
        assert (summary.state, summary.exit_status) == ("stopped", MachineFault.exit_status)
        assert "summary.json" in str(summary.message)
        assert summary.killed_attempts == 0
        path.rmdir()
        assert (await go_on(str(tmp_path / "run")).go()).exit_status == 0
        assert at.requests == ROWS - 4
    assert_complete(tmp_path / "run")


def replies_on_the_way(folder: RunFolder) -> int:
    told = Summary.read(folder.summary)
    return 0 if told is None else told.in_flight


async def test_a_last_word_that_finds_no_room_stands_in_place_of_the_word_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path, data: bytes, *, durable: bool = True) -> None:
        del data, durable
        raise machine_fault("write", path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr("runner.beats.BEAT_S", 0.02)
    folder = RunFolder(tmp_path / "run")
    async with provider(monkeypatch, latency_s=(0.3, 0.3)) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run")
        going = asyncio.create_task(run.go())
        await until(lambda: replies_on_the_way(folder) == 4)
        with monkeypatch.context() as patch:
            patch.setattr("runner.summary.replace_file", no_room)
            stopped = await going
        assert (stopped.exit_status, stopped.killed_attempts) == (MachineFault.exit_status, 0)
        told = Summary.read(folder.summary)
        assert told is not None
        assert (told.exit_status, told.tally.rows) == (MachineFault.exit_status, 4)
        summary = await go_on(str(tmp_path / "run")).go()
        assert (summary.exit_status, summary.killed_attempts) == (0, 0), "all four have landed"


async def test_replies_that_a_fault_cuts_off_are_told_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    slow = Scenario.build({"rule": [{"matches": "Say [012]$", "answer": "hang"}]})
    async with provider(monkeypatch, scenario=slow, latency_s=(0.2, 0.2)) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run")
        with monkeypatch.context() as patch:
            patch.setattr("runner.journal.journal.append", refuse)
            summary = await run.go()
        assert (summary.exit_status, at.requests) == (MachineFault.exit_status, 4)
        assert (summary.tally.rows, summary.killed_attempts) == (0, 4), "with the one that landed"
    async with provider(monkeypatch) as at:
        summary = await at.begin(str(tmp_path / "d.csv"), tmp_path / "run").go()
        assert (summary.exit_status, summary.killed_attempts) == (0, 4)
    assert_complete(tmp_path / "run")


async def test_failed_rows_can_be_asked_again_with_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario.build(
        {"rule": [{"matches": "Say [37]$", "model": "qwen-plus", "answer": "context_too_long"}]}
    )
    async with provider(monkeypatch, scenario=scenario) as at:
        summary = await at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run").go()
        assert (summary.exit_status, summary.tally.failed, at.requests) == (1, 2, ROWS)
        assert summary.next == f"penstock show {tmp_path}/run --failed"
        again = go_on(str(tmp_path / "run"), retry=["failed"], changes={"model": "qwen-flash"})
        summary = await again.go()
        assert at.requests == 2
    assert (summary.exit_status, summary.tally.requests) == (0, ROWS + 2)
    assert_complete(tmp_path / "run")
    assert summary.tally.models == {"qwen-plus": ROWS - 2, "qwen-flash": 2}, "a mixture shows"
    assert [row["attempts"] for row in parts(tmp_path / "run")].count(2) == 2


async def test_too_many_failures_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"concurrency": 1, "max_failed": "2"}
    async with provider(monkeypatch, scenario=failing("Say .+")) as at:
        paths = write_csv(tmp_path / "d.csv", 2000)
        summary = await at.begin(paths, tmp_path / "run", limits=limits).go()
        assert at.requests < 2000
    assert (summary.state, summary.exit_status) == ("stopped", BudgetReached.exit_status)
    assert "more than --max-failed 2" in str(summary.message)


FULL_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
import pytest
from small_folder import until
from small_runs import provider, write_csv

async def main(folder):
    with pytest.MonkeyPatch.context() as patch:
        async with provider(patch) as at:
            run = at.begin(write_csv(folder / "d.csv", 300), folder / "run")
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
            summary = await run.go()
            print(json.dumps([summary.to_json(), summary.exit_status]))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("most_bytes", [12_000, 30_000])
async def test_a_disk_that_takes_no_more_stops_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(most_bytes)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, encoding="utf-8", timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary, exit_status = orjson.loads(done.stdout)
    assert (summary["state"], exit_status) == ("stopped", MachineFault.exit_status)
    assert "a file-size limit (ulimit -f) was reached; raise it" in summary["message"]
    assert summary["next"] == f"penstock resume {tmp_path}/run"
    async with provider(monkeypatch) as at:
        again = await at.begin(str(tmp_path / "d.csv"), tmp_path / "run").go()
        assert again.exit_status == 0
    assert_complete(tmp_path / "run", 300)


async def test_the_key_is_in_no_file_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch, scenario=failing("Say 3", "server_error")) as at:
        settings = {"limits": {"concurrency": 4, "max_attempts": 1}}
        await at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "answers.csv", **settings).go()
    contents = all_files(tmp_path)
    assert len(contents) >= 8
    assert not [name for name, content in contents.items() if KEY.encode() in content]


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.glob("**/*") if path.is_file()}


@pytest.mark.parametrize("name", ["answers.csv", "answers.csv.run"])
async def test_the_one_file_is_there_after_every_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def rows() -> list[dict[str, str]]:
        with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    async with provider(monkeypatch) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "answers.csv", first=4)
        summary = await run.go()
        assert summary.export == str(tmp_path / "answers.csv")
        assert [row["row"] for row in rows()] == ["0", "1", "2", "3"]
        await go_on(str(tmp_path / name), changes={"first": None}).go()
        assert [row["row"] for row in rows()] == [str(row) for row in range(ROWS)]
        (tmp_path / "answers.csv").unlink()
        await go_on(str(tmp_path / name)).go()
        assert len(rows()) == ROWS


async def test_a_file_that_cannot_be_written_is_no_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "answers.csv")
        (tmp_path / "answers.csv").mkdir()
        summary = await run.go()
        assert (summary.state, summary.exit_status) == ("stopped", MachineFault.exit_status)
        assert "answers.csv" in str(summary.message)
        (tmp_path / "answers.csv").rmdir()
        summary = await go_on(str(tmp_path / "answers.csv")).go()
        assert (summary.exit_status, at.requests) == (0, ROWS)


async def test_a_second_writer_is_refused_while_the_first_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        paths = write_csv(tmp_path / "d.csv")
        first, second = (at.begin(paths, tmp_path / "run") for _ in range(2))
        await first.go()
        with pytest.raises(RunFolderError, match="has just been started by another process"):
            await second.go()
        third = at.begin(paths, tmp_path / "run")
        with (
            RunFolder(tmp_path / "run").lock(),
            pytest.raises(RunFolderError, match=f"by process {os.getpid()} on"),
        ):
            await third.go()


async def test_a_part_that_is_gone_is_named_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        await at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run").go()
        part = tmp_path / "run" / "completions" / "part-00000.parquet"
        part.rename(tmp_path / "copy")
        assert at.requests == ROWS
        with pytest.raises(MachineFault, match=r"part-00000\.parquet is missing: its 10 rows"):
            await go_on(str(tmp_path / "run")).go()
        (tmp_path / "run" / "seals" / "00000.json").unlink()
        with pytest.raises(MachineFault, match="10 rows had a result when the last summary was"):
            await go_on(str(tmp_path / "run")).go()
        again = await go_on(str(tmp_path / "run"), accept="changes").go()
        assert again.exit_status == 0
        assert again.superseded is not None
        assert (again.superseded["rows"], again.superseded["cost"]) == (ROWS, again.tally.cost)
        assert at.requests == ROWS
    assert_complete(tmp_path / "run")


async def test_a_dataset_that_changes_in_mid_run_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run")
        write_csv(tmp_path / "d.csv", ROWS + 1)
        summary = await run.go()
        assert (summary.state, summary.exit_status) == ("stopped", MachineFault.exit_status)
        assert "d.csv" in str(summary.message)
        assert at.requests == 0


def write_models(path: Path, models: list[str]) -> str:
    """A dataset whose rows name their models."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["text", "which"], *([str(at), name] for at, name in enumerate(models))])
    return str(path)


async def test_a_wrong_model_name_fails_the_row_that_brought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ["qwen-plsu", *["qwen-plus", "qwen-flash"] * 5]
    params = {"from_columns": {"model": "which"}}
    async with provider(monkeypatch, models=("qwen-plus", "qwen-flash")) as at:
        paths = write_models(tmp_path / "d.csv", models)
        summary = await at.begin(paths, tmp_path / "run", params=params).go()
    assert (summary.state, summary.exit_status) == ("finished", 1)
    found = {row["row"]: row["error_type"] for row in parts(tmp_path / "run")}
    assert found == {0: "model", **dict.fromkeys(range(1, 11))}


async def test_wrong_model_names_everywhere_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"from_columns": {"model": "which"}}
    async with provider(monkeypatch, models=("qwen-plus",)) as at:
        paths = write_models(tmp_path / "d.csv", ["gpt-9"] * 3000)
        summary = await at.begin(paths, tmp_path / "run", params=params).go()
        assert at.requests < 100
    assert (summary.state, summary.exit_status, summary.tally.rows) == ("stopped", 3, 0)
    assert "the rows name it themselves: check that column" in str(summary.message)
