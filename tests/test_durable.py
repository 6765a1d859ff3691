"""Files replaced in one step, and faults that say what to do."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.durable import (
    faults,
    fsync_folder,
    machine_fault,
    remove_folder,
    replace_file,
    write_durable,
    write_over,
)
from runner.errors import MachineFault


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "quota is used up; free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "read-only; make it writable"),
        (errno.EACCES, "permission denied; make the folder writable"),
        (errno.EMFILE, "ulimit -n or lower --concurrency"),
        (errno.EIO, "the disk reported an error"),
        (errno.ENXIO, os.strerror(errno.ENXIO)),
    ],
)
def test_a_fault_says_what_failed_where_and_what_to_do(number: int, advice: str) -> None:
    fault = machine_fault("write", Path("out/part"), OSError(number, os.strerror(number)))
    assert str(fault).startswith("cannot write out/part: ")
    assert advice in str(fault)
    assert str(fault).endswith("then resume the run")
    assert fault.exit_status == 5


def test_only_errors_of_the_system_become_faults(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="cannot read"), faults("read", tmp_path):
        tmp_path.read_bytes()
    with pytest.raises(KeyError), faults("read", tmp_path):
        raise KeyError


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_as_a_whole(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "file"
    for data in (b"old" * 1000, b"", b"new"):
        replace_file(path, data, durable=durable)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_file_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        events.append(f"fsync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append(f"rename to {target.name}")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "file", b"data")
    assert events == ["fsync .file.tmp", "rename to file", f"fsync {tmp_path.name}"]
    events.clear()
    replace_file(tmp_path / "file", b"data", durable=False)
    assert events == ["rename to file"], "a file made for watching is not worth a wait"


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    replace = (
        "import resource, sys\nfrom pathlib import Path\nfrom runner.errors import MachineFault\n"
        "from runner.durable import replace_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    replace_file(Path(sys.argv[1]), b'x' * 2000)\n"
        "except MachineFault as fault:\n    print(fault)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", replace, str(path)],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert f"cannot write {path}: a file-size limit" in done.stdout
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match=r"cannot write .*No such file"):
        replace_file(tmp_path / "none" / "file", b"")
    with pytest.raises(FileNotFoundError):
        write_durable(tmp_path / "none" / "file", b"")
    with pytest.raises(FileNotFoundError):
        fsync_folder(tmp_path / "none")


def test_a_folder_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "next" / "journal").mkdir(parents=True)
    (tmp_path / "next" / "journal" / "00000.jsonl").write_bytes(b"{}")
    (tmp_path / "next" / "run.json").write_bytes(b"{}")
    remove_folder(tmp_path / "next")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", [b'{"a": 1}', b'{"a": "much longer than what is to come"}'])
def test_a_file_is_written_over_in_its_place(tmp_path: Path, old: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(old)
    before = path.stat().st_ino
    write_over(path, b'{"b": "not as long"}\n')
    assert json.loads(path.read_bytes()) == {"b": "not as long"}
    assert path.stat().st_ino == before


def test_a_text_that_finds_no_room_over_the_old_one_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"{}")
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if path.stat().st_size >= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(MachineFault, match=r"cannot write .*: the disk is full"):
        write_over(path, b'{"b": "longer"}')
    assert path.read_bytes() == b"{}"


def test_nothing_is_written_over_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="cannot write"):
        write_over(tmp_path / "file", b"{}")
    assert list(tmp_path.iterdir()) == []
