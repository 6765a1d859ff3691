"""`penstock show` as a person sees it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import run_here
from some_runs import SomeRun, questions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SomeRun:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-never-shown")
    made = SomeRun(tmp_path, questions(6))
    made.seal(0, [
        made.answer(0, tool_calls='[{"name":"f"}]', ttft_s=0.1),
        made.failure(1, error_code="x_code", rejected="half an ans"),
        made.answer(2, completion="red \x1b[31malert\x07\r\nend"),
        made.answer(3, completion="long " * 1000),
    ])  # fmt: skip
    return made


@pytest.mark.usefixtures("run")
def test_a_row_is_shown_with_request_answer_usage_and_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = run_here(capsys, "show", "run", "--row", "0")
    assert (ended.status, ended.err) == (0, "")
    heading, *lines = ended.out.splitlines()
    assert heading == (
        "row 0 · id id-0 · succeeded · 1 attempt · 0.2 s, first token 0.1 s · 0.000123 USD"
    )
    assert '          "content": "question 0"' in lines
    for title, text in (
        ("reasoning:", "因为"),
        ("completion (finish_reason stop):", "answer 0"),
        ("tool_calls:", '[{"name":"f"}]'),
    ):
        assert lines[lines.index(f"  {title}") + 1] == f"    {text}"
    assert "  usage: 22 in (4 cached), 18 out (2 reasoning)" in lines
    assert "  model qwen-plus, response_id c-1, request_id r-1" in lines
    assert "sk-never-shown" not in ended.out


@pytest.mark.usefixtures("run")
def test_a_failure_is_shown_with_its_reason_and_what_was_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = run_here(capsys, "show", "run", "--failed")
    assert ended.out.count("row ") == 2  # the heading and the message
    assert "  error timeout (x_code):\n    row 1 failed\n" in ended.out
    assert "  rejected, though it may be billed:\n    half an ans\n" in ended.out


def test_what_a_rehearsal_cost_is_said_to_be_made_up(
    run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run.folder.write_run(replace(run.run, rehearsal=True))
    told = run_here(capsys, "show", "run").out
    assert told.count("0.000123 USD (made up, not billed)") == 3
    assert "  rejected:\n" in told
    assert run_here(capsys, "show", "run", "--json").json()["rehearsal"] is True


@pytest.mark.usefixtures("run")
def test_an_answer_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = run_here(capsys, "show", "run", "--row", "2").out
    assert "    red \\x1b[31malert\\x07\n    end\n" in out


@pytest.mark.usefixtures("run")
def test_a_long_answer_is_cut_on_a_terminal_alone_and_never_for_one_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "long " * 1000
    assert whole in run_here(capsys, "show", "run").out
    capsys.readouterr()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = run_here(capsys, "show", "run").out
    assert whole not in out
    assert "… 3,800 more characters: penstock show run --row 3" in out
    assert whole in run_here(capsys, "show", "run", "--row", "3").out


@pytest.mark.usefixtures("run")
def test_pending_and_missing_rows_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "show", "run", "--row", "5")
    assert ended.status == 0
    assert ended.out.startswith("row 5 · id id-5 · pending\n  request:\n")
    ended = run_here(capsys, "show", "run", "--row", "6")
    assert (ended.status, ended.out) == (2, "")
    assert "run has 6 rows, 0 to 5" in ended.err


def test_json_is_one_object_with_the_output_columns(
    run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_here(capsys, "show", run.name, "-n", "2", "--json")
    first, second = ended.json()["rows"]
    assert (first["row"], first["id"], first["status"]) == (0, "id-0", "succeeded")
    assert first["request"]["messages"][0]["content"] == "question 0"
    assert first["request_is_as_sent"] is True
    assert (second["error_type"], second["completion"]) == ("timeout", None)
    found = run_here(capsys, "show", run.name, "--row", "5", "--json").json()["rows"]
    assert [one["status"] for one in found] == ["pending"]


def test_where_nothing_is_to_be_shown_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = SomeRun(tmp_path, questions(6))
    assert run_here(capsys, "show", "run").err == "run: no row has a result yet\n"
    run.seal(0)
    ended = run_here(capsys, "show", "run", "--failed")
    assert (ended.status, ended.out, ended.err) == (0, "", "run: no row has failed\n")


def test_a_lost_part_and_a_wrong_command_have_their_exit_status(
    run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run.folder.seals(run.run).part(0).unlink()
    ended = run_here(capsys, "show", "run")
    assert ended.status == 5
    assert "is missing" in ended.err
    for args in (("nowhere",), ("run", "--row", "1", "--failed"), ("run", "--row", "-1")):
        assert run_here(capsys, "show", *args).status == 2
