"""One process seen from outside: the most memory it ever had, its CPU time, how far it has come."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Sight:
    """A process at one moment."""

    wall_s: float  # since it began
    cpu_s: float
    peak_mb: float  # the most that was ever resident, file pages included


class Watched:
    """A command that runs, looked at in /proc until it ends: Linux alone."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.began = time.time()
        environment = {**os.environ, "DASHSCOPE_API_KEY": "sk-benchmark"}
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._command = command
        self._last = Sight(0.0, 0.0, 0.0)

    def look(self) -> Sight | None:
        """How it stands; None once it has ended.

        The high-water mark of `wait4` would not do: it also counts what this process had when it
        began the other.
        """
        place = Path(f"/proc/{self._process.pid}")
        try:
            status = (place / "status").read_text()
            times = (place / "stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        if not peak:  # it has ended and waits to be taken note of
            return None
        cpu_s = (int(times[11]) + int(times[12])) / _TICKS
        self._last = Sight(time.time() - self.began, cpu_s, int(peak[0]) / 1024)
        return self._last

    def sleep(self) -> None:
        """Until it is worth looking again."""
        time.sleep(_LOOK_S)

    def to_end(self) -> Sight:
        """Wait for its end: how it stood when it was last seen. Ends everything if it failed."""
        while self.look() is not None:
            self.sleep()
        said = self._process.communicate()[0]
        if self._process.returncode:
            sys.exit(f"{self._command} ended with {self._process.returncode}:\n{said.decode()}")
        return self._last

    def kill(self) -> None:
        """Without a word, as a power cut does."""
        self._process.kill()
        self._process.communicate()
