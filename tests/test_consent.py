from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobs import consent
from jobs.consent import ask_before_paying
from runner import Job, JobError, Run, begin, run_to_end, simulator

if TYPE_CHECKING:
    from pathlib import Path

Settings = dict[str, Any]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-test")


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody sits at a terminal and says yes; the questions they were asked."""
    asked: list[str] = []

    def confirm(text: str, *, err: bool) -> bool:
        asked.append(text)
        return err

    monkeypatch.setattr(consent, "is_person", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    return asked


def begun(folder: Path, *, rows: int = 100, rehearsal: bool = False, **settings: Any) -> Run:
    path = folder / "x.csv"
    path.write_text("prompt\n" + "hello\n" * rows)
    settings = {"base_url": "http://127.0.0.1:9/v1", "region": "singapore", **settings}
    return begin(Job.build(settings), [str(path)], str(folder / "run"), rehearsal=rehearsal)


DEAR: Settings = {"params": {"max_tokens": 100_000}}  # 12 USD at most
CHEAP: Settings = {"params": {"max_tokens": 1000}}


def test_a_cheap_run_is_told_and_not_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_before_paying(begun(tmp_path, **CHEAP), yes=False, quiet=False)
    told = capsys.readouterr()
    assert "cost: about" in told.err
    assert told.out == ""


def test_a_dear_one_is_asked_about(tmp_path: Path, person: list[str]) -> None:
    ask_before_paying(begun(tmp_path, **DEAR), yes=False, quiet=False)
    [question] = person
    assert "12 USD" in question


def test_no_means_that_nothing_was_sent_and_nothing_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, err: not err)
    monkeypatch.setattr(consent, "is_person", lambda: True)
    with pytest.raises(JobError, match="not begun; nothing was sent"):
        ask_before_paying(begun(tmp_path, **DEAR), yes=False, quiet=True)
    assert not (tmp_path / "run").exists()


def test_without_a_terminal_it_is_refused_naming_the_flag(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="--yes"):
        ask_before_paying(begun(tmp_path, **DEAR), yes=False, quiet=True)


@pytest.mark.parametrize("quiet", [True, False])
def test_yes_answers_beforehand_and_quiet_says_nothing(
    tmp_path: Path, person: list[str], capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    ask_before_paying(begun(tmp_path, **DEAR), yes=True, quiet=quiet)
    assert person == []
    assert bool(capsys.readouterr().err) != quiet


def test_who_has_set_a_limit_is_not_asked(tmp_path: Path, person: list[str]) -> None:
    ask_before_paying(begun(tmp_path, limits={"max_cost": "5"}, **DEAR), yes=False, quiet=True)
    assert person == []


def test_a_rehearsal_costs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask_before_paying(begun(tmp_path, rehearsal=True, **DEAR), yes=False, quiet=False)
    assert capsys.readouterr().err == ""


def test_yuan_are_compared_at_their_worth(tmp_path: Path, person: list[str]) -> None:
    # 2 CNY per 1,000,000: 20 CNY are not 10 USD, 200 are
    ask_before_paying(begun(tmp_path, region="beijing", **DEAR), yes=False, quiet=True)
    assert person == []
    many = begun(tmp_path, rows=1000, region="beijing", **DEAR)
    ask_before_paying(many, yes=False, quiet=True)
    assert "CNY" in person[0]


def test_an_unknown_price_is_said_and_not_asked_about(
    tmp_path: Path, person: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ask_before_paying(begun(tmp_path, model="mine", **DEAR), yes=False, quiet=False)
    assert person == []
    assert "cost: unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("currency", "price", "asked"), [("XYZ", 0.1, 1), ("XYZ", 0, 0), ("USD", 0.1, 0)]
)
def test_an_amount_that_nothing_here_can_compare_is_asked_about(
    tmp_path: Path, person: list[str], currency: str, price: float, asked: int
) -> None:
    tables = tmp_path / "own.toml"
    tables.write_text(
        f"[openai-compatible.prices.any.{currency}]\nmine = [{price}, {price}]\n", "ascii"
    )
    path = tmp_path / "x.csv"
    path.write_text("prompt\n" + "hello\n" * 100)
    job = Job.build(
        {
            **CHEAP,
            "provider": "openai-compatible",
            "base_url": "http://127.0.0.1:9/v1",
            "model": "mine",
            "api_key_env": "DASHSCOPE_API_KEY",
        }
    )
    run = begin(job, [str(path)], str(tmp_path / "run"), providers_file=str(tables))
    ask_before_paying(run, yes=False, quiet=True)
    assert len(person) == asked
    assert all("XYZ" in question for question in person)


def test_rows_that_have_their_answer_do_not_count(
    tmp_path: Path, person: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask(first: int | None) -> Run:
        async with simulator.serve(simulator.SimulatorSettings()) as server:
            fast = {"qps": 5000, "concurrency": 50}
            settings = {**DEAR, "base_url": server.base_url, "limits": fast, "first": first}
            await begun(tmp_path, **settings).go()
            await asyncio.sleep(0)
            return begun(tmp_path, **settings)

    few = run_to_end(ask(90))
    assert few.rows_done() == 90
    ask_before_paying(few, yes=False, quiet=False)
    assert capsys.readouterr().err == ""
    more = begun(tmp_path, **DEAR)  # ten rows are left: 1.2 USD
    ask_before_paying(more, yes=False, quiet=False)
    assert "to ask: 10 rows" in capsys.readouterr().err
    ask_before_paying(run_to_end(ask(None)), yes=False, quiet=False)
    assert capsys.readouterr().err == ""
    assert person == []
