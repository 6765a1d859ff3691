"""Who else uses this account's limits now? Runs of one user on one machine, by --share NAME.

A folder per name, in it a file for each run, locked as long as the run lives: one that dies, in
whatever way, is known at once. The file says into how many parts its run divides the limits. Who
wants a larger part, or the first one, says so before it counts the runs; who comes in shows itself
before it reads what the others say, and waits until they have all made room. So the parts never
come to more than the whole, however the runs are scheduled.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from runner.errors import JobError
from runner.lock import is_held, remove_if_free, try_lock
from runner.records import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

# A run that is stopped (Ctrl-Z) or starved does not make room, and must not keep others out. Once
# it goes on it is told within a beat.
PATIENCE_S = 3.0
_PREFIX = "run-"
_DIGITS = 6  # of the number in a run's file, which is always written whole


class Share:
    """A run's place among those that share a name, held while the context lasts.

    What `look` returns may be taken; `took` says that it has been. Raises JobError on entering when
    there is no folder for it, and OSError from `look` when there is none any more.
    """

    def __init__(self, name: str, folders: list[Path], *, patience_s: float = PATIENCE_S) -> None:
        self._name = name
        # A name of its own for each; the prefix keeps clear of those that Windows reserves.
        self._folders = [folder / f"account-{name}" for folder in folders]
        self._patience_s = patience_s
        self._patient_until_s = 0.0
        self._path: Path | None = None
        self._handle: int | None = None
        self._told = 0  # parts, by this run's file; 0: it takes none yet
        self._taken = False
        # `look` may still be at work in a thread when its run ends.
        self._one_at_a_time = Lock()
        self._left = False

    def __enter__(self) -> Self:
        flaws = []
        for folder in self._folders:
            try:
                self._enter(folder)
            except OSError as error:
                flaws.append(f"{folder.parent} ({error.strerror or error})")
            else:
                self._patient_until_s = time.monotonic() + self._patience_s
                return self
        raise JobError(
            f"--share {self._name}: no folder in which runs could find each other: "
            f"{'; '.join(flaws)}. Make one of them writable for you alone, or name another cache "
            f"folder with XDG_CACHE_HOME"
        )

    def __exit__(self, *exc_info: object) -> None:
        with self._one_at_a_time:
            self._left = True
            self._let_go()
            if self._path is not None:
                with suppress(OSError):
                    self._path.unlink()

    def look(self) -> Part | None:
        """The part that may be taken from now on; None: the others have not made room yet."""
        with self._one_at_a_time:
            if self._left:
                return None
            part, fewest = self._count()
            if part.of < self._told or not self._taken:
                self._tell(part.of)
                part, fewest = self._count()
            if self._taken or fewest >= part.of or time.monotonic() >= self._patient_until_s:
                return part
            return None

    def took(self, part: Part) -> None:
        """Nothing above `part` is taken any more: others may count on it."""
        with self._one_at_a_time:
            self._taken = True
            self._tell(part.of)

    def _enter(self, folder: Path) -> None:
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        while self._handle is None:
            # Sorted by name they stand in the order in which they came.
            path = folder / f"{_PREFIX}{time.time_ns():020d}-{secrets.token_hex(4)}"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write_parts(handle, self._told)
                # Somebody may have taken it for a dead run's before it was locked, and removed it.
                if try_lock(handle) and path.exists():
                    self._path, self._handle = path, handle
            finally:
                if self._handle is None:
                    os.close(handle)
        self._folders = [folder]

    def _tell(self, parts: int) -> None:
        if self._handle is not None and parts != self._told:
            _write_parts(self._handle, parts)
            self._told = parts

    def _count(self) -> tuple[Part, int]:
        """This run's part, and the fewest parts that another run divides by, of those that take."""
        own = self._stay()
        runs, fewest = [own], sys.maxsize
        for path in own.parent.iterdir():
            if path == own or not path.name.startswith(_PREFIX):
                continue
            if not is_held(path):
                remove_if_free(path)
                continue
            runs.append(path)
            fewest = min(fewest, _read_parts(path) or sys.maxsize)
        return Part(sorted(runs).index(own), len(runs)), fewest

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _stay(self) -> Path:
        """This run's file; made anew where somebody has cleared the folder away."""
        if self._path is None or not self._path.exists():
            self._let_go()
            self._enter(self._folders[0])
        assert self._path is not None  # noqa: S101 - `_enter` has set it
        return self._path


def share_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where runs of this user find each other, the best place first.

    The cache folder rather than XDG_RUNTIME_DIR: that one is missing for jobs of cron and of system
    services, which would then not be seen, and it is removed when its user logs out.
    """
    folders = []
    named = Path(environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():  # the specification wants others ignored
        folders.append(named)
    elif (cache := _usual_cache(environ)) is not None:
        folders.append(cache)
    who = environ.get("USERNAME", "user") if sys.platform == "win32" else str(os.getuid())
    folders = [folder / "penstock" / "share" for folder in folders]
    return [*folders, Path(tempfile.gettempdir()) / f"penstock-share-{who}"]


def _usual_cache(environ: Mapping[str, str]) -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # a user without an entry or HOME, as in some containers
        return None
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


def _make_private(folder: Path) -> None:
    """Make a folder for this user alone. Raises OSError where it is somebody else's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if sys.platform == "win32":
        return  # the folders named above are the user's own
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(0, "others could write to it, or it is not yours")


def _write_parts(handle: int, parts: int) -> None:
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, b"%*d" % (_DIGITS, parts))


def _read_parts(path: Path) -> int:
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return 0
