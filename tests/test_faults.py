"""Hosts and signals that fail a real run: what it says, its exit status, a clean resume."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from processes import PENSTOCK, environment, penstock, started
from trials import ROWS, Trial, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX")


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
