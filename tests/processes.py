"""Real processes for tests: the stand-in server and the commands, as a person starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-test-0123456789abcdef"
PENSTOCK = [sys.executable, "-c", "from jobs.cli import main; main()"]
_MOST_S = 100  # a hung command fails its test before the test's own timeout


def environment(**more: str) -> dict[str, str]:
    """What commands see: a key, no proxy, nothing of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    return {**kept, "DASHSCOPE_API_KEY": KEY, "PENSTOCK_PROVIDERS": "", **more}


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def penstock(*args: str, cwd: Path, **env: str) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [*PENSTOCK, *args], cwd=cwd, env=environment(**env), stdin=subprocess.DEVNULL,
        capture_output=True, encoding="utf-8", timeout=_MOST_S, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*args: str, cwd: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A command that is still going; killed at the end of the context if it still is."""
    with subprocess.Popen(
        [*PENSTOCK, *args], cwd=cwd, env=environment(**env), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


class Server:
    """A stand-in server in a process of its own."""

    def __init__(self, base_url: str, process: subprocess.Popen[str]) -> None:
        self.base_url = base_url
        self._process = process
        self._root = base_url.removesuffix("/compatible-mode/v1")

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self._root + path, timeout=30) as answer:  # noqa: S310
            body: bytes = answer.read()
        return body

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def stats(self) -> dict[str, Any]:
        """What the server has seen."""
        found = json.loads(self._get("/_stats"))
        assert isinstance(found, dict)
        return found

    def log(self) -> list[dict[str, Any]]:
        """Every request, in order of arrival."""
        return [json.loads(line) for line in self._get("/_log").splitlines()]


@contextmanager
def simulator(*flags: str, cwd: Path, port: str = "0") -> Iterator[Server]:
    """A stand-in server with these flags of `penstock simulate`."""
    with started("simulate", "--port", port, *flags, cwd=cwd) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on "), process.stderr.read()
        # Nobody reads the rest; a full pipe would stop the server.
        for stream in (process.stdout, process.stderr):
            threading.Thread(target=stream.read, daemon=True).start()
        yield Server(line.split()[-1], process)
