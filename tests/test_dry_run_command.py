"""`penstock generate --dry-run` as a person sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import run_here

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    path = tmp_path / "data.csv"
    path.write_text("text\n" + 'hello\n""\n' * 25)
    return path


def dry(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
    ended = run_here(capsys, "generate", "data.csv", "--dry-run", *flags)
    return ended.status, ended.out, ended.err


def test_it_needs_no_key_writes_nothing_and_says_what_is_wrong(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = dry(capsys, "-p", "Say {{ text }}", "-o", "run")
    assert status == 0, err
    assert "50 rows: 50 could be asked, 0 could not; nothing was sent" in out
    status, out, _ = dry(capsys, "-p", "{{ text }}", "-o", "run")
    assert status == 1
    lines = out.splitlines()
    assert lines[-1] == (
        "50 rows: 25 could be asked, 25 could not (25 empty_prompt); nothing was sent"
    )
    assert lines[-2] == "… and 5 more rows that could not be asked"
    assert sum(line.startswith("row ") for line in lines) == 20
    assert out.startswith("request 1:\n{\n")
    assert list(data.parent.iterdir()) == [data]


@pytest.mark.usefixtures("data")
def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "generate", "data.csv", "--dry-run", "-p", "{{ text }}", "--json")
    found = ended.json()
    assert (ended.status, ended.err) == (1, "")
    assert list(found) == ["rows", "ok", "flawed", "examples", "requests", "double_ids"]
    assert (found["rows"], found["ok"], found["flawed"]) == (50, 25, {"empty_prompt": 25})


@pytest.mark.usefixtures("data")
def test_what_a_run_would_refuse_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = dry(capsys, "-p", "{{ txt }}")
    assert (status, out) == (2, "")
    assert "no column 'txt'" in err
