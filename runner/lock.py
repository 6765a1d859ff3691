"""One writer at a time: who holds a run folder."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

import orjson

from runner.durable import faults
from runner.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    # Locking is mandatory on Windows, so the locked byte lies far behind the text.
    def try_lock(handle: int) -> bool:
        """Whether the lock of an open file could be had at once; closing the file gives it back."""
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    _is_free = try_lock

else:
    import fcntl

    def try_lock(handle: int) -> bool:
        """Whether the lock of an open file could be had at once; closing the file gives it back."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    # Shared, so that two who look at the same time do not take each other for the holder.
    def _is_free(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_LONGEST_TURN_S = 5.0


def _wait_for_lock(handle: int) -> bool:
    # `is_held` takes the lock for a moment to see whether it is free; do not stumble over that.
    for _ in range(10):
        if try_lock(handle):
            return True
        time.sleep(0.02)
    return False


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Do something short alone: others wait for their turn at the same file.

    Raises RunFolderError when it does not come for seconds, and MachineFault.
    """
    with faults("open", path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until_s = time.monotonic() + _LONGEST_TURN_S
        while not try_lock(handle):
            if time.monotonic() > until_s:
                raise RunFolderError(f"{path} is held by another process; try again")
            time.sleep(0.01)
        yield
    finally:
        os.close(handle)


class Lock:
    """The `lock` file of a run folder, held while the context lasts.

    The operating system drops the lock with the process, so a dead holder never blocks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def __enter__(self) -> Self:
        with faults("open", self._path):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with faults("lock", self._path):
                self._take(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return self

    def _take(self, handle: int) -> None:
        if not _wait_for_lock(handle):
            folder = self._path.parent
            raise RunFolderError(
                f"{folder} is being written by {_describe(holder(self._path))}; wait for it, stop "
                f"it with Ctrl-C there, or watch it with: penstock status {folder}"
            )
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, orjson.dumps(me))

    def __exit__(self, *exc_info: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def holder(path: Path) -> dict[str, object]:
    """Who last took the lock: pid, host, since (seconds since the epoch); {} when unknown."""
    try:
        data = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock now."""
    try:
        # For reading alone, since another user's run may be watched too.
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _is_free(handle)
    finally:
        os.close(handle)


def remove_if_free(path: Path) -> None:
    """Remove a lock file that nobody holds; whoever takes it meanwhile keeps it, or sees it gone.

    So who has just made and locked a file that others may clear away looks whether it is there.
    """
    with suppress(OSError):
        handle = os.open(path, os.O_RDWR)
        try:
            if not try_lock(handle):
                return
            if sys.platform != "win32":
                path.unlink()
        finally:
            os.close(handle)
        if sys.platform == "win32":  # refuses to remove a file that anyone has open
            path.unlink()


def _describe(who: dict[str, object]) -> str:
    if not who:
        return "another process"
    since = who.get("since")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(str(since)))) if since else "?"
    return f"process {who.get('pid')} on {who.get('host')} since {when}"
