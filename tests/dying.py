"""A real process of ours that kills itself, or is refused, at a chosen step to the disk.

`python tests/dying.py FAULT ARGUMENTS...` runs `penstock ARGUMENTS...`; FAULT is a `Fault` as JSON.
The steps are the functions of `runner.durable`, which knows nothing of it: they are wrapped here by
name, in whichever module uses them.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

# Which of a step's arguments is the path that it is about.
_ABOUT = {"append": 0, "force": 0, "rename": 1, "remove": 0, "cut_off": 0, "fsync_folder": 0}


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a process dies: at the `nth` step of a kind on such a path."""

    step: str  # a function of `runner.durable`
    path: str  # a pattern for the last two names of the path
    nth: int  # from 1
    # amid: half of the bytes are written; refused: it lives on, and the system reports an error
    moment: Literal["before", "amid", "after", "refused"]
    error: int = errno.EIO  # that is reported, once: who tries again succeeds

    def arguments(self) -> list[str]:
        """The command line before penstock's own arguments."""
        return [sys.executable, __file__, json.dumps(asdict(self))]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wrapped(fault: Fault, real: Callable[..., Any]) -> Callable[..., Any]:
    left = fault.nth

    def step(*args: Any) -> Any:
        nonlocal left
        path = args[_ABOUT[fault.step]]
        is_meant = fnmatch("/".join(path.absolute().parts[-2:]), fault.path)
        left -= is_meant
        if left > 0 or (fault.moment == "refused" and not (is_meant and left == 0)):
            return real(*args)
        if fault.moment == "refused":
            raise OSError(fault.error, os.strerror(fault.error))
        if fault.moment == "amid" and fault.step == "append":
            _, handle, data = args
            real(path, handle, data[: len(data) // 2])
        elif fault.moment == "after":
            real(*args)
        return _die()

    return step


def main() -> None:
    """Run the command as one that will die."""
    fault = Fault(**json.loads(sys.argv[1]))
    sys.argv = ["penstock", *sys.argv[2:]]
    import runner.durable  # noqa: PLC0415 - every module that uses a step is there after this
    from jobs.cli import main as penstock  # noqa: PLC0415 - likewise

    real = getattr(runner.durable, fault.step)
    wrapped = _wrapped(fault, real)
    for name, module in list(sys.modules.items()):
        if name.startswith("runner.") and getattr(module, fault.step, None) is real:
            setattr(module, fault.step, wrapped)
    penstock()


if __name__ == "__main__":
    # The folder of this file is no place that the command would import from.
    sys.path = [place for place in sys.path if Path(place) != Path(__file__).parent]
    main()
