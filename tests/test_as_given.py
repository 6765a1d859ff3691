"""A command that is refused names one that can be pasted: with the very flags that were given."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
from commands import run_here
from some_runs import SomeRun, questions

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "-p", "Say: '{{ text }}'", "-m", "qwen-max", "--param", "temperature=0.5", "--param", "top_p=1",
    "--id-column", "id", "--no-stream", "--qps", "5",
)  # fmt: skip
# A flag is written by its longer name, in the order of --help.
LONG = {"-p": "--prompt", "-m": "--model"}


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SomeRun:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-none")
    made = SomeRun(tmp_path, questions(12), model="qwen-plus")
    made.seal(0)
    return made


def pasted(text: str) -> list[str]:
    found = re.search(r"penstock (plan .*)", text)
    assert found is not None, text
    return shlex.split(found[1])


@pytest.mark.parametrize(
    "command",
    [
        ("resume", "run", "data.parquet", *FLAGS, "--quiet"),
        ("generate", "data.parquet", "-o", "run", *FLAGS, "--yes", "--json"),
    ],
)
def test_a_refused_command_names_the_plan_with_its_own_flags(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    refused = run_here(capsys, *command)
    assert refused.status == 2
    arguments = pasted(refused.err)
    assert arguments[:3] == ["plan", "run", "data.parquet"]
    assert sorted(LONG.get(one, one) for one in FLAGS) == sorted(arguments[3:])
    planned = run_here(capsys, *arguments)
    assert planned.status == 0, planned.err
    assert "8 rows without an answer" in planned.out
    assert "model: the run has 'qwen-plus', this command 'qwen-max'" in planned.out
