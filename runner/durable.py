"""Bytes that survive a crash: each step to the disk that a run's safety rests on is a function.

What a crash can fall between is the calls of `append`, `force`, `rename`, `remove`, `cut_off` and
`fsync_folder`, and nothing else; `tests/dying.py` kills a process before, amid and after each.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runner.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

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


def append(path: Path, handle: int, data: bytes) -> None:
    """Hand bytes to the kernel, behind what is in the file already: a killed process keeps them.

    `os.write` until every byte is taken; a short write is how a full disk first shows.
    """
    del path  # for who looks on
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def force(path: Path, handle: int) -> None:
    """Force an open file's bytes to disk: a power cut keeps them."""
    del path  # for who looks on
    os.fsync(handle)


def rename(old: Path, new: Path) -> None:
    """Give a file its one name, in place of what had that name; durable after `fsync_folder`."""
    old.replace(new)


def remove(path: Path) -> None:
    """Delete a file, if it is there."""
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Delete a folder that holds only what can be made again; what is inside goes file by file."""
    for inside in sorted(path.iterdir()):
        if inside.is_dir() and not inside.is_symlink():
            remove_folder(inside)
        else:
            remove(inside)
    path.rmdir()


def cut_off(path: Path, size: int) -> None:
    """Shorten a file to so many bytes."""
    os.truncate(path, size)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file to be written in pieces, forced to disk when the context ends well.

    Its name is durable after `fsync_folder`.
    """
    with path.open("wb") as file:
        yield file
        file.flush()
        force(path, file.fileno())


@contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Delete what an error inside leaves: half a file helps nobody, least of all on a full disk."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove(path)
        raise


def write_durable(path: Path, data: bytes) -> None:
    """Write a new file and force it to disk; the name itself is durable after `fsync_folder`."""
    handle = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o644
    )
    try:
        append(path, handle, data)
        force(path, handle)
    finally:
        os.close(handle)


def temporary_of(path: Path) -> Path:
    """Where `replace_file` writes first; what lies there was not written to its end."""
    return path.with_name(f".{path.name}.tmp")


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put `data` at `path` in one step: a reader sees the old bytes or the new, never a mixture.

    With `durable` false the bytes may be lost by a power cut, which suits files made for watching.
    """
    temporary = temporary_of(path)
    with faults("write", path):
        if durable:
            write_durable(temporary, data)
        else:
            temporary.write_bytes(data)
        rename(temporary, path)
        if durable:
            fsync_folder(path.parent)


def write_over(path: Path, text: bytes) -> None:
    """Write JSON over a file's old bytes, for want of room for a new file; spaces fill the rest.

    Where even this finds no room, the old text stays. While it is written a reader may see a
    mixture, and so may the next start after a crash: for files that may as well be missing.
    """
    with faults("write", path), path.open("r+b", buffering=0) as file:
        old_bytes = file.seek(0, os.SEEK_END)
        try:
            append(path, file.fileno(), b" " * (len(text) - old_bytes))
        except OSError:
            file.truncate(old_bytes)
            raise
        file.seek(0)
        append(path, file.fileno(), text.ljust(old_bytes))
        force(path, file.fileno())
