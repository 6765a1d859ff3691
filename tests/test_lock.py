"""One writer at a time: another one is told who it is, and a dead one blocks nobody."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from runner.errors import MachineFault, RunFolderError
from runner.lock import Lock, holder, is_held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from runner.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        with pytest.raises(RunFolderError) as refused, Lock(path):
            pass
        assert refused.value.exit_status == 2
        told = re.search(r"by process (\d+) on (\S+) since (\d{4}-[\d:\- ]+);", str(refused.value))
        assert told is not None, refused.value
        assert (int(told[1]), told[2]) == (process.pid, socket.gethostname())
        since = time.mktime(time.strptime(told[3], "%Y-%m-%d %H:%M:%S"))
        assert time.time() - 100 < since <= time.time()
        assert f"penstock status {tmp_path}" in str(refused.value)


def test_a_killed_writer_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        process.kill()
        process.wait()
        assert not is_held(path)
        with Lock(path):
            assert holder(path)["pid"] == os.getpid()


def test_a_lock_given_back_may_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(3):
        with Lock(path):
            assert is_held(path)
        assert not is_held(path)
    assert holder(path)["pid"] == os.getpid(), "who was last here stays known"


def test_looking_at_the_lock_does_not_disturb_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        assert all(is_held(path) for _ in range(100))
        assert holder(path)["pid"] == process.pid
        assert process.poll() is None
        with pytest.raises(RunFolderError), Lock(path):
            pass


def test_two_who_look_do_not_take_each_other_for_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    look = (
        "import sys\nfrom pathlib import Path\nfrom runner.lock import is_held\n"
        "print(any(is_held(Path(sys.argv[1])) for _ in range(20_000)))"
    )
    command = [sys.executable, "-c", look, str(path)]
    lookers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [looker.communicate()[0] for looker in lookers] == [b"False\n", b"False\n"]


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'"x"', b"\xff"])
def test_a_holder_that_cannot_be_read_is_unknown(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(text)
    assert holder(path) == {}
    assert not is_held(path)
    assert holder(tmp_path / "none") == {}
    assert not is_held(tmp_path / "none")


def test_a_refusal_by_an_unknown_holder_still_reads_well(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path):
        path.write_bytes(b"")
        with pytest.raises(RunFolderError, match="is being written by another process"), Lock(path):
            pass


def test_a_lock_that_cannot_be_made_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="cannot open"), Lock(tmp_path / "none" / "lock"):
        pass


def test_a_full_disk_is_told_and_leaves_the_lock_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    take = (
        "import resource, sys\nfrom pathlib import Path\nfrom runner.errors import MachineFault\n"
        "from runner.lock import Lock, is_held\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n    Lock(Path(sys.argv[1])).__enter__()\n"
        "except MachineFault as fault:\n    print(is_held(Path(sys.argv[1])), fault)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", take, str(path)], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.startswith("False cannot lock"), done
    assert "file-size limit" in done.stdout
