"""Bytes that survive a crash: atomic replacement, folder fsync, faults told as ours."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runner.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "a file-size limit (ulimit -f) was reached; raise it",
    errno.EROFS: "the file system is read-only; make it writable",
    errno.EACCES: "permission denied; make the folder writable for this user",
    errno.EPERM: "permission denied; make the folder writable for this user",
    errno.EMFILE: "too many open files; raise ulimit -n or lower --concurrency",
    errno.EIO: "the disk reported an error; check it",
}


def machine_fault(action: str, path: Path, error: OSError) -> MachineFault:
    """The MachineFault for an OSError: what failed, where, and what to do about it."""
    reason = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return MachineFault(f"cannot {action} {path}: {reason}; then resume the run")


@contextmanager
def faults(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into a MachineFault that names the file."""
    try:
        yield
    except OSError as error:
        raise machine_fault(action, path, error) from error


def fsync_folder(folder: Path) -> None:
    """Make renames and new files inside `folder` durable.

    Windows has no such call and needs none: its renames are journalled by NTFS.
    """
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """`os.write` until every byte is taken; a short write is how a full disk first shows."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_durable(path: Path, data: bytes) -> None:
    """Write a new file and force it to disk; the name itself is durable after `fsync_folder`."""
    handle = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o644
    )
    try:
        write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put `data` at `path` in one step: a reader sees the old bytes or the new, never a mixture.

    With `durable` false the bytes may be lost by a power cut, which suits files made for watching.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with faults("write", path):
        if durable:
            write_durable(temporary, data)
        else:
            temporary.write_bytes(data)
        temporary.replace(path)
        if durable:
            fsync_folder(path.parent)
