"""`penstock control` on a real process, judged by the server's own log."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from processes import Server, penstock, simulator, started
from small_runs import write_csv
from windows import most_in_a_second

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

BEFORE, AFTER = 20.0, 60.0
_MOST_S = 60.0


@contextmanager
def going(tmp_path: Path, *flags: str, latency: str = "0.01", rows: int = 3_000) -> Iterator[Going]:
    write_csv(tmp_path / "d.csv", rows)
    with (
        simulator("--latency", latency, cwd=tmp_path) as server,
        started(
            "generate", "d.csv", "-p", "Say {{ text }}", "--base-url", server.base_url, *flags,
            "-o", "run", cwd=tmp_path,
        ) as process,
    ):  # fmt: skip
        run = Going(tmp_path, server, process)
        run.until(5)
        yield run


class Going:
    """A run that is going on, and the server that sees what it sends."""

    def __init__(self, folder: Path, server: Server, process: subprocess.Popen[str]) -> None:
        self._folder = folder
        self.server = server
        self.process = process

    def control(self, *words: str, status: int = 0) -> str:
        ended = penstock("control", "run", *words, cwd=self._folder)
        assert ended.status == status, ended.err
        return ended.err

    def moments(self) -> list[float]:
        """When requests came, for those that have been answered."""
        return sorted(entry["at"] for entry in self.server.log())

    def until(self, requests: int) -> None:
        """Return when so many have been answered."""
        until_s = time.monotonic() + _MOST_S
        while len(self.server.log()) < requests:
            assert time.monotonic() < until_s
            assert self.process.poll() is None, self.process.communicate()

    def until_s(self, moment_s: float) -> None:
        """Return when the server has seen that moment; the run must be sending."""
        until_s = time.monotonic() + _MOST_S
        while self.moments()[-1] < moment_s:
            assert time.monotonic() < until_s

    def rate(self, from_s: float, to_s: float) -> float:
        """Requests a second between two moments."""
        return sum(from_s <= at_s < to_s for at_s in self.moments()) / (to_s - from_s)

    def status(self) -> dict[str, object]:
        return penstock("status", "run", "--json", cwd=self._folder).json()

    def measures(self) -> list[dict[str, object]]:
        lines = (self._folder / "run" / "measures.jsonl").read_bytes().splitlines()
        return [json.loads(line) for line in lines]


def test_a_pace_holds_within_a_second_and_is_noted(tmp_path: Path) -> None:
    with going(tmp_path, "--qps", f"{BEFORE:g}") as run:
        assert "pace 60 requests/s" in run.control("qps=60")
        changed_s = time.time()
        run.until_s(changed_s + 2.5)
        # Below it only as far as a busy machine keeps the server from seeing what comes in time.
        assert 0.8 * AFTER <= run.rate(changed_s + 1, changed_s + 2) <= AFTER * 1.01 + 1
        assert most_in_a_second(run.moments()) <= AFTER * 1.01 + 1
        assert "pace 5 requests/s" in run.control("rpm=300")
        changed_s = time.time()
        run.until_s(changed_s + 2.5)
        assert run.rate(changed_s, changed_s + 2) <= 5 * 1.01 + 1
        noted = [line["control"] for line in run.measures() if "control" in line]
        assert noted == [
            {"per_second": AFTER, "refused": None},
            {"per_second": 5.0, "refused": None},
        ]
        status = run.status()
        assert status["limits"] == {"qps": 5.0, "tpm": None, "concurrency": 1000}
        assert status["limited_by"] == "pace"


def test_a_pause_sends_nothing_until_it_goes_on(tmp_path: Path) -> None:
    with going(tmp_path, "--concurrency", "20", latency="0.2") as run:
        assert run.control("pause").startswith("run: paused;")
        before = len(run.server.log())
        assert run.server.stats()["in_flight"] == 0
        status = run.status()
        assert (status["state"], status["next"]) == ("paused", "penstock status run --follow")
        run.control("qps=50")
        assert len(run.server.log()) == before, "a pause lasts until it is ended"
        assert run.control("continue").startswith("run: running;")
        run.until(before + 20)
        assert run.server.stats()["asked_again"] == 0


def test_a_paused_run_can_be_stopped(tmp_path: Path) -> None:
    with going(tmp_path, "--concurrency", "20", latency="0.2") as run:
        run.control("pause")
        run.process.send_signal(signal.SIGINT)
        _, err = run.process.communicate()
        assert run.process.returncode == 130
        assert "run: interrupted" in err
        assert "nobody is working on run now" in run.control("continue", status=2)
        again = penstock("resume", "run", "--concurrency", "500", "--json", cwd=tmp_path)
        assert (again.status, again.json()["succeeded"]) == (0, 3_000), (
            "an old order is not its own"
        )


def test_workers_come_and_go(tmp_path: Path) -> None:
    with going(tmp_path, "--concurrency", "4", latency="0.2") as run:
        assert run.status()["limited_by"] == "workers"
        assert "40 workers" in run.control("concurrency=40")
        run.until_s(time.time() + 1)
        assert run.server.stats()["in_flight"] > 20
        assert "2 workers" in run.control("concurrency=2")
        changed_s = time.time()
        run.until_s(changed_s + 2)
        assert run.rate(changed_s + 0.5, changed_s + 1.5) <= 2 / 0.2 + 2


@pytest.mark.skipif(sys.platform != "linux", reason="no limit can be set for a running process")
def test_more_workers_than_the_machine_has_open_files_for_are_refused(tmp_path: Path) -> None:
    with going(tmp_path, "--concurrency", "4") as run:
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (500, 500))
        refused = run.control("concurrency=600", status=2)
        assert "--concurrency 600 needs 700 open files, and this machine allows 500" in refused
        assert run.status()["limits"] == {"qps": None, "tpm": None, "concurrency": 4}


@pytest.mark.skipif(sys.platform != "linux", reason="no limit can be set for a running process")
def test_an_order_is_taken_whole_or_not_at_all_and_hinders_no_later_one(tmp_path: Path) -> None:
    with going(tmp_path, "--concurrency", "4") as run:
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (500, 500))
        run.control("qps=7", "concurrency=600", "pause", status=2)
        assert run.status()["limits"] == {"qps": None, "tpm": None, "concurrency": 4}
        run.until(len(run.moments()) + 20)  # it is not paused
        assert "paused" in run.control("qps=7", "pause")
        assert run.status()["limits"] == {"qps": 7, "tpm": None, "concurrency": 4}


def test_auto_takes_more_workers_while_they_are_what_is_missing(tmp_path: Path) -> None:
    with going(tmp_path, "--concurrency", "auto", latency="0.1", rows=20_000) as run:
        run.until(1_200)
        limits = run.status()["limits"]
        assert isinstance(limits, dict)
        assert limits["concurrency"] >= 36
        assert run.server.stats()["in_flight"] > 16
