"""The README's commands work as they stand, and its map of the code names every module."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

import runner
from jobs.cli import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def shell_commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("penstock ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the README's reader has it, with `penstock` on the path."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = tmp_path / "bin" / "penstock"
    command.parent.mkdir()
    command.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from jobs.cli import main; main()' \"$@\"\n"
    )
    command.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are written for a POSIX shell")
def test_the_commands_work_one_after_the_other(folder: Path) -> None:
    commands = shell_commands()
    assert len(commands) >= 6
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, env=environment(PATH=path),
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_every_command_stands_in_the_table() -> None:
    named = set(re.findall(r"^\| `penstock (\w+)", README, re.MULTILINE))
    assert named == set(COMMANDS)


def test_the_map_of_the_code_names_every_module() -> None:
    start = README.index("## A row's way")
    named = set(re.findall(r"\w+", README[start:]))
    modules = {
        path.stem if path.suffix == ".py" else path.name
        for path in (ROOT / "runner").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert sorted(modules - named) == []


def test_its_python_can_be_read_and_imports_what_there_is() -> None:
    (code,) = blocks("python")
    compile(code, "README.md", "exec")
    imported = re.search(r"from runner import (.*)", code)
    assert imported is not None
    for name in imported.group(1).split(", "):
        assert hasattr(runner, name)
