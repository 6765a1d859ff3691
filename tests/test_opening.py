"""What is said before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import run_here
from some_runs import SomeRun, questions

from jobs.opening import print_opening
from runner import go_on

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = ("--base-url", "http://127.0.0.1:9/v1")  # where nobody answers


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SomeRun:
    """Four rows, all of them sealed: two have failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-none")
    made = SomeRun(tmp_path, questions(4), model="qwen-plus")
    made.seal(0, [made.answer(0), made.failure(1), made.failure(2), made.answer(3)])
    return made


def test_a_finished_run_is_told_as_one_that_asks_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ("generate", "data.parquet", "-o", "run", "-p", "{{ text }}", "-m", "qwen-plus")
    told = run_here(capsys, *command, *ELSEWHERE, "--id-column", "id", "--yes")
    assert told.status == 1
    lines = told.err.splitlines()
    assert "nothing is sent: the run is finished (4 rows, 2 failed)" in lines
    assert "note: to ask again what failed: penstock resume run --retry failed" in lines
    assert not any(line.startswith(("asks:", "pace:", "tokens:", "workers:")) for line in lines)


@pytest.mark.parametrize("retry", [(), ("failed",)])
def test_one_that_has_rows_to_ask_says_whom(
    run: SomeRun, capsys: pytest.CaptureFixture[str], retry: tuple[str, ...]
) -> None:
    if not retry:
        run.folder.seal_records.joinpath("00000.json").unlink()
    print_opening(go_on(run.name, retry=retry))
    told = capsys.readouterr().err
    assert "\nasks: https://" in told
    assert "nothing is sent" not in told
