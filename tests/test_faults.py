"""Disks, hosts and signals that fail a real run: what it says, its exit status, a clean resume."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from dying import Fault
from processes import PENSTOCK, Ended, Server, environment, penstock, simulator, started

from runner.journal import JournalFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 300  # five blocks
WORKERS = 10

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("server")
    with simulator("--latency", "0.01:0.03", cwd=place) as one:
        yield one


@dataclass
class Trial:
    """A run that something happens to, and how it is gone on with."""

    place: Path
    server: Server

    def __post_init__(self) -> None:
        # The folder's name makes the questions this run's own.
        lines = [f'"{self.place.name} {row}: {"so " * 20}?"' for row in range(ROWS)]
        (self.place / "data.csv").write_text("text\n" + "\n".join(lines) + "\n", "utf-8")
        self.before = self.server.stats()["requests"]

    @property
    def run(self) -> Path:
        return self.place / "out"

    def generate(self, *more: str) -> list[str]:
        return [
            "generate", "data.csv", "-p", "{{ text }}", "-o", "out", "--base-url",
            self.server.base_url, "--region", "singapore", "--qps", "5000",
            "--concurrency", str(WORKERS), *more,
        ]  # fmt: skip

    def shell(self, limits: str, *args: str) -> Ended:
        """A command under limits that only a shell can set."""
        return ended(["/bin/sh", "-c", f'{limits}; exec "$@"', "sh", *PENSTOCK, *args], self.place)

    def kept(self) -> int:
        files = (self.run / "journal").glob("*.jsonl")
        open_rows = {row for file in files for row in JournalFile(file, mend=False).results}
        sealed = json.loads(penstock("status", "out", "--json", cwd=self.place).out)["succeeded"]
        return max(len(open_rows), int(sealed))

    def asked(self) -> int:
        requests: int = self.server.stats()["requests"] - self.before
        return requests

    def resumes_cleanly(self, *, kept: int, asked_again: int = 0) -> Ended:
        """Go on; every row is there, and of what was kept only so many are asked again."""
        before = self.asked()
        done = penstock("resume", "out", "--concurrency", str(WORKERS), cwd=self.place)
        assert done.status == 0, done.err
        assert self.asked() - before == ROWS - kept + asked_again
        parts = sorted((self.run / "completions").iterdir())
        rows = [row for part in parts for row in pq.read_table(part)["row"].to_pylist()]
        assert rows == list(range(ROWS))
        assert list((self.run / "journal").iterdir()) == []
        return done


def ended(command: list[str], place: Path) -> Ended:
    done = subprocess.run(
        command, cwd=place, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def trial(tmp_path: Path, server: Server) -> Trial:
    return Trial(tmp_path, server)


def until(condition: object) -> None:
    """Look again and again; the test's own timeout is the limit."""
    assert callable(condition)
    while not condition():
        time.sleep(0.005)


def test_a_file_that_may_not_grow_stops_the_run_and_is_gone_on_with(trial: Trial) -> None:
    done = trial.shell("ulimit -f 40", *trial.generate())  # 20 kB
    assert done.status == 5, done.err
    assert "a file-size limit (ulimit -f) was reached; raise it; then resume the run" in done.err
    assert done.err.splitlines()[-1].endswith("penstock resume out")
    kept = trial.kept()
    assert 0 < kept < ROWS
    trial.resumes_cleanly(kept=kept)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(
    tmp_path: Path, server: Server
) -> None:
    with small_disk(tmp_path / "full", "140k") as place:
        trial = Trial(place, server)
        done = penstock(*trial.generate(), cwd=place)
        assert done.status == 5, done.err
        assert "the disk is full; free some space; then resume the run" in done.err
        kept = trial.kept()
        assert 0 < kept < ROWS
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        trial.resumes_cleanly(kept=kept)


def test_a_folder_that_goes_in_mid_run_stops_it_and_is_gone_on_with(trial: Trial) -> None:
    away = trial.place / "away"
    with started(*trial.generate(), cwd=trial.place) as process:
        until(lambda: list(trial.run.glob("seals/*.json")))
        trial.run.rename(away)
        _, err = process.communicate()
    assert process.returncode == 5, err
    assert re.search(r"cannot (write|open|delete|force to disk) out/.*No such file", err), err
    away.rename(trial.run)
    trial.resumes_cleanly(kept=trial.kept())


def test_a_failed_fsync_stops_the_run_at_once(trial: Trial) -> None:
    fault = Fault("force", "journal/*.jsonl", 2, "refused")
    done = ended([*fault.arguments(), *trial.generate()], trial.place)
    assert done.status == 5, done.err
    assert re.search(
        r"cannot force to disk .*jsonl: the disk reported an error; check it", done.err
    )
    assert trial.asked() < ROWS
    trial.resumes_cleanly(kept=trial.kept())


@pytest.fixture
def stopped(trial: Trial) -> Trial:
    """A run with results in the journal and in parts, killed."""
    with started(*trial.generate("--quiet"), cwd=trial.place) as process:
        until(lambda: len(list(trial.run.glob("seals/*.json"))) >= 2)
        until(lambda: any(3000 < path.stat().st_size < 20_000 for path in journals(trial.run)))
        process.kill()
        process.wait()
    return trial


def journals(run: Path) -> list[Path]:
    """The journal files of blocks that have no part yet, the fullest first."""
    files = [
        path
        for path in (run / "journal").glob("*.jsonl")
        if not (run / "seals" / f"{path.stem}.json").exists()
    ]
    return sorted(files, key=lambda path: -path.stat().st_size)


def test_a_flipped_bit_in_the_journal_is_named_and_costs_its_row_alone(stopped: Trial) -> None:
    path, kept = journals(stopped.run)[0], stopped.kept()
    data = bytearray(path.read_bytes())
    second = data.index(b"\n") + 1
    data[second + 30] ^= 4
    path.write_bytes(data)
    done = stopped.resumes_cleanly(kept=kept, asked_again=1)
    assert (
        f"{path.relative_to(stopped.place)}, line 2, is damaged; its row is asked again" in done.err
    )


def test_a_journal_cut_off_costs_the_rows_that_were_cut(stopped: Trial) -> None:
    path, kept = journals(stopped.run)[0], stopped.kept()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]) + lines[-3][:50])
    stopped.resumes_cleanly(kept=kept, asked_again=3)


def test_a_journal_that_is_deleted_costs_its_rows(stopped: Trial) -> None:
    path, kept = journals(stopped.run)[0], stopped.kept()
    lost = len(JournalFile(path, mend=False).results)
    path.unlink()
    stopped.resumes_cleanly(kept=kept, asked_again=lost)


def test_a_journal_under_another_blocks_number_is_named_and_used_under_its_own(
    stopped: Trial,
) -> None:
    path, kept, before = journals(stopped.run)[0], stopped.kept(), stopped.asked()
    sealed = min(stopped.run.glob("seals/*[0-9].json")).stem
    other = path.rename(path.with_name(f"{sealed}.jsonl"))
    done = penstock("resume", "out", cwd=stopped.place)
    assert done.status == 5
    assert f"journal/{other.name} holds results of other blocks" in done.err
    assert f"give it back its name (out/journal/{path.name})" in done.err
    assert stopped.asked() == before
    other.rename(path)
    stopped.resumes_cleanly(kept=kept)


@pytest.mark.parametrize("damage", ["cut off", "deleted"])
def test_a_part_that_is_lost_is_named_before_anything_is_sent(stopped: Trial, damage: str) -> None:
    kept, before = stopped.kept(), stopped.asked()
    part = min((stopped.run / "completions").glob("part-*"))
    whole = part.read_bytes()
    if damage == "deleted":
        part.unlink()
    else:
        part.write_bytes(whole[:-7])
    done = penstock("resume", "out", cwd=stopped.place)
    assert done.status == 5
    assert part.name in done.err
    assert "its 64 rows (from row 0)" in done.err
    assert stopped.asked() == before
    part.write_bytes(whole)
    stopped.resumes_cleanly(kept=kept)


def test_a_part_with_a_flipped_bit_is_never_read_silently(stopped: Trial) -> None:
    part = min((stopped.run / "completions").glob("part-*"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    done = penstock("export", "out", "all.csv", cwd=stopped.place)
    assert done.status == 5
    assert f"{part.name} is damaged (its SHA-256" in done.err
    assert not (stopped.place / "all.csv").exists()


def test_a_second_resume_is_told_who_holds_the_run(trial: Trial) -> None:
    with started(*trial.generate("--concurrency", "1", "--quiet"), cwd=trial.place) as process:
        until(lambda: list(trial.run.glob("journal/*.jsonl")))
        second = penstock("resume", "out", cwd=trial.place)
        assert second.status == 2
        told = re.search(
            r"written by process (\d+) on (\S+) since (\d{4}-\d\d-\d\d \S+);", second.err
        )
        assert told is not None, second.err
        assert (int(told[1]), told[2]) == (process.pid, socket.gethostname())
        process.kill()
        process.wait()
    trial.resumes_cleanly(kept=trial.kept())


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_lets_replies_land(trial: Trial, name: str) -> None:
    with started(*trial.generate(), cwd=trial.place) as process:
        until(lambda: list(trial.run.glob("journal/*.jsonl")))
        process.send_signal(getattr(signal, name))
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert f"{name}: nothing more is sent; once more to stop at once." in err
    assert trial.asked() == trial.kept(), "every reply that was on its way is kept"
    trial.resumes_cleanly(kept=trial.kept())


def test_a_process_that_was_stopped_for_longer_than_its_timeouts_takes_no_attempt_for_late(
    trial: Trial,
) -> None:
    command = trial.generate("--timeout", "1", "--json", "--quiet")
    with started(*command, cwd=trial.place) as process:
        until(lambda: list(trial.run.glob("journal/*.jsonl")))
        process.send_signal(signal.SIGSTOP)
        assert process.poll() is None
        until(lambda: not trial.server.stats()["in_flight"])
        time.sleep(2.5)  # the time itself is what is tested
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate()
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["succeeded"], told["retries"], told["unmetered_attempts"]) == (ROWS, 0, 0)
    assert trial.asked() == ROWS


def test_a_terminal_that_is_closed_lets_replies_land(trial: Trial) -> None:
    master, terminal = pty.openpty()
    os.set_blocking(master, False)
    take_it = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    command = [sys.executable, "-c", take_it + PENSTOCK[-1], *trial.generate()]
    process = subprocess.Popen(
        command, cwd=trial.place, env=environment(TERM="xterm"), start_new_session=True,
        stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    try:
        until(lambda: list(trial.run.glob("journal/*.jsonl")))
        assert process.poll() is None
        os.close(master)  # nobody sends the signal but the system itself
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert json.loads((trial.run / "summary.json").read_bytes())["state"] == "interrupted"
    assert trial.asked() == trial.kept()
    trial.resumes_cleanly(kept=trial.kept())


def test_a_run_whose_reader_has_gone_goes_on_to_its_own_exit_status(trial: Trial) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.Popen(
            [*PENSTOCK, *trial.generate()], cwd=trial.place, env=environment(),
            stdin=subprocess.DEVNULL, stdout=writing, stderr=writing,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert process.wait(60) == 0
    assert trial.kept() == ROWS


def test_fewer_open_files_than_workers_are_seen_and_explained(trial: Trial) -> None:
    command = trial.generate("--concurrency", "500")
    done = trial.shell("ulimit -n 200", *command)
    assert done.status == 2
    assert re.search(
        r"--concurrency 500 needs \d+ open files, and this machine allows 200; use "
        r"--concurrency \d+, or raise 'ulimit -Hn'", done.err
    ), done.err  # fmt: skip
    assert trial.asked() == 0
    assert not trial.run.exists()
