"""Has a run been given another layout while it was read? Then it is read once more, from its start.

A switch of layout, or damage set aside, may happen beneath a reader that has begun: what it finds
before and after are answers to other rows. Both change run.json, or where the folders lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from runner.durable import faults
from runner.errors import StopsRun
from runner.folder import PARTS_OF_LAYOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from runner.folder import RunFile, RunFolder

_T = TypeVar("_T")


class _Layout(NamedTuple):
    """Which answers lie where. Equal before and after a reader has read: it has read one run."""

    superseded: dict[str, Any]
    switch: str | None
    aside: list[str]  # the folders in superseded/: what is set aside is entered into run.json later
    places: list[tuple[Path, tuple[int, int] | None]]  # with device and inode; None: missing


def in_one_layout(folder: RunFolder, run: RunFile, read: Callable[[RunFile], _T]) -> _T:
    """What `read` finds of `run`, or of what run.json says if another layout has come meanwhile.

    `read` may be called several times, and looks up the run's folders anew each time. Raises what
    it raises, and MachineFault where a folder of the run is missing.
    """
    if not folder.exists():  # it has not begun
        return read(run)
    while True:
        before = _layout_of(folder, run)
        try:
            with faults("read", folder.path):
                found = read(run)
        except StopsRun:
            there = folder.read_run()
            if _layout_of(folder, there) == before:
                raise
        else:
            there = folder.read_run()
            if _layout_of(folder, there) == before:
                folder.check_whole(there)
                return found
        run = there


def _layout_of(folder: RunFolder, run: RunFile) -> _Layout:
    places = [folder.place(name, run) for name in PARTS_OF_LAYOUT]
    return _Layout(
        run.superseded,
        run.switch,
        sorted(path.name for path in folder.superseded.glob("[0-9]*")),
        [(place, _identity(place)) for place in places],
    )


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        found = place.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
