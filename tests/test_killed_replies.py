"""However early a process is killed, the next one tells of no fewer replies than were lost."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from processes import penstock, started
from small_folder import until as turns_until
from small_runs import ROWS, provider, write_csv
from trials import WORKERS, Trial, until

from runner.client import Client
from runner.control import Wanted, send_order
from runner.errors import MachineFault
from runner.folder import RunFolder
from runner.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Reply, Request

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals there are others")
KILLS = 3
TOLD = f"before ended without a last word, with up to {WORKERS} replies on the way"


@POSIX
def test_a_kill_within_the_first_second_is_told(trial: Trial) -> None:
    command = trial.generate()
    for kill in range(KILLS):
        before = trial.asked()
        with started(*command, cwd=trial.place) as process:
            until(lambda: trial.asked() > before or process.poll() is not None)  # noqa: B023
            process.kill()
            _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        assert (TOLD in err) is (kill > 0)
        command = ["resume", "out"]
    kept = trial.kept()
    told = penstock("status", "out", "--json", cwd=trial.place).json()
    assert (told["state"], told["killed_attempts"]) == ("dead", KILLS * WORKERS)
    assert trial.asked() - kept <= told["killed_attempts"]
    done = trial.resumes_cleanly("--json", kept=kept)
    assert TOLD in done.err
    assert done.json()["killed_attempts"] == KILLS * WORKERS


@POSIX
def test_a_stop_within_the_first_second_is_not_told_as_a_kill(trial: Trial) -> None:
    with started(*trial.generate("--json"), cwd=trial.place) as process:
        until(trial.asked)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert "killed_attempts" not in json.loads(out)
    assert "killed_attempts" not in penstock("status", "out", "--json", cwd=trial.place).json()
    done = trial.resumes_cleanly("--json", kept=trial.kept())
    assert "last word" not in done.err
    assert "killed_attempts" not in done.json()


class Sends:
    """Notes of every request how many were on their way, and what the summary on disk knew of."""

    def __init__(self, folder: RunFolder, patch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        self.untold: list[tuple[int, int]] = []
        real = Client.send

        async def send(client: Client, request: Request, leaves: Callable[[], None]) -> Reply:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now > (told := most_told(folder)):
                self.untold.append((self.now, told))
            try:
                return await real(client, request, leaves)
            finally:
                self.now -= 1

        patch.setattr(Client, "send", send)


def most_told(folder: RunFolder) -> int:
    told = Summary.read(folder.summary)
    return -1 if told is None else told.most_in_flight


async def test_no_order_lets_more_be_sent_than_the_summary_on_disk_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.beats.BEAT_S", 0.02)
    folder = RunFolder(tmp_path / "run")
    sends = Sends(folder, monkeypatch)
    async with provider(monkeypatch, latency_s=(0.1, 0.1)) as at:
        run = at.begin(write_csv(tmp_path / "d.csv", 2000), tmp_path / "run")
        going = asyncio.create_task(run.go())
        await turns_until(lambda: sends.now == 4)
        send_order(folder, Wanted(workers=9))
        await turns_until(lambda: sends.now == 9)
        send_order(folder, Wanted(paused=True))
        await turns_until(lambda: most_told(folder) == 0)
        assert sends.now == 0
        send_order(folder, Wanted(paused=False))
        await turns_until(lambda: sends.now == 9)
        send_order(folder, Wanted(workers=2))
        await turns_until(lambda: sends.now == most_told(folder) == 2)
        run.stop()
        summary = await going
    assert sends.untold == []
    assert (summary.exit_status, summary.killed_attempts) == (130, 0)


@pytest.mark.parametrize("told", [True, False])
async def test_workers_that_auto_adds_are_told_before_they_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    monkeypatch.setattr(sys.modules["runner.run"], "_SIZING_S", 0.02)
    monkeypatch.setattr("runner.beats.BEAT_S", 60.0)  # nobody else tells meanwhile
    folder = RunFolder(tmp_path / "run")
    sends = Sends(folder, monkeypatch)
    async with provider(monkeypatch, latency_s=(0.05, 0.05)) as at:
        auto = {"concurrency": "auto"}
        run = at.begin(write_csv(tmp_path / "d.csv", 5000), tmp_path / "run", limits=auto)
        going = asyncio.create_task(run.go())
        await turns_until(lambda: sends.now == 16)
        if told:
            await turns_until(lambda: sends.most > 16)
            run.stop()
        else:
            folder.summary.unlink()
            folder.summary.mkdir()
        summary = await going
    if told:
        assert (sends.untold, summary.exit_status) == ([], 130)
    else:
        assert (sends.most, summary.exit_status) == (16, MachineFault.exit_status)
        assert summary.killed_attempts == 0, "what was on its way has landed"


async def test_near_its_end_a_run_tells_of_the_rows_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    monkeypatch.setattr("runner.beats.BEAT_S", 0.02)
    sends = Sends(folder, monkeypatch)
    async with provider(monkeypatch, latency_s=(0.2, 0.2)) as at:
        limits = {"concurrency": 3 * ROWS}
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run", limits=limits)
        going = asyncio.create_task(run.go())
        await turns_until(lambda: most_told(folder) == ROWS)
        assert (await going).exit_status == 0
    assert sends.untold == []
