"""What the command sets up for its own process before any engine is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow as pa
import pytest

_POOL_AFTER_MAIN = """
import sys
from jobs.cli import main
sys.argv = ["penstock", "--help"]
try:
    main()
except SystemExit:
    import pyarrow
    print(pyarrow.default_memory_pool().backend_name)
"""


def pool_of_the_command(**environment: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
    ended = subprocess.run(
        [sys.executable, "-c", _POOL_AFTER_MAIN], env=inherited | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ended.stdout.splitlines()[-1]


def test_arrow_takes_its_memory_from_the_system() -> None:
    assert pool_of_the_command() == "system"


def test_a_memory_pool_that_the_user_chose_holds() -> None:
    others = [name for name in pa.supported_memory_backends() if name != "system"]
    if not others:
        pytest.skip("this build of Arrow has the system's memory alone")
    assert pool_of_the_command(ARROW_DEFAULT_MEMORY_POOL=others[0]) == others[0]
