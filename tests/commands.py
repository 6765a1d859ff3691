"""Commands for tests, run inside the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processes import Ended

from jobs.cli import penstock, run_command

if TYPE_CHECKING:
    import pytest


def run_here(capsys: pytest.CaptureFixture[str], *args: str) -> Ended:
    """A command's exit status and what it printed."""
    capsys.readouterr()
    status = run_command(lambda: penstock.main(list(args), standalone_mode=False))
    out, err = capsys.readouterr()
    return Ended(status, out, err)
