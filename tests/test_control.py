"""Orders for a run that is going on: what may be said, and for whom it is meant."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from commands import run_here
from some_runs import SomeRun, questions

from runner.control import Wanted, parse_wanted, read_order, send_order
from runner.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["qps=20"], Wanted(per_second=20)),
        (["qps=0.5"], Wanted(per_second=0.5)),
        (["rpm=600"], Wanted(per_second=10)),
        (["rpm=600", "qps=20"], Wanted(per_second=10)),
        (["qps=none"], Wanted(per_second="none")),
        (["qps=none", "rpm=60"], Wanted(per_second=1)),
        (["tpm=100000", "concurrency=64"], Wanted(tokens_per_minute=100_000, workers=64)),
        (["concurrency=auto"], Wanted(workers="auto")),
        (["tpm=none"], Wanted(tokens_per_minute="none")),
        (["pause"], Wanted(paused=True)),
        (["continue", "qps=3"], Wanted(per_second=3, paused=False)),
    ],
)
def test_what_may_be_said(words: list[str], wanted: Wanted) -> None:
    assert parse_wanted(words) == wanted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say what is to change"),
        (["speed=3"], "speed=3: there is no such setting"),
        (["stop"], "stop: there is no such setting"),
        (["max_cost=3"], "Others change with a resume"),
        (["qps=0"], "qps=0: it must be above 0"),
        (["qps=fast"], "qps=fast: 'fast' is no number"),
        (["tpm=1.5"], "tpm=1.5: "),
        (["concurrency=0"], "concurrency=0: "),
        (["concurrency=none"], "there is always a limit"),
        (["qps=1", "qps=2"], "qps is given twice"),
        (["pause", "continue"], "say one of them"),
    ],
)
def test_what_makes_no_sense_is_told(words: list[str], told: str) -> None:
    with pytest.raises(JobError) as caught:
        parse_wanted(words)
    assert told in str(caught.value)


def test_a_later_order_keeps_what_an_earlier_one_said() -> None:
    first, second = Wanted(per_second=20, paused=True), Wanted(workers=3, paused=False)
    both = second.over(first)
    assert both == Wanted(per_second=20, workers=3, paused=False)
    assert both.beyond(first) == second


def test_an_order_is_for_the_process_that_holds_the_lock_and_for_no_later_one(
    tmp_path: Path,
) -> None:
    folder = SomeRun(tmp_path, questions(4)).folder
    with folder.lock():
        since = folder.holder()["since"]
        first = send_order(folder, Wanted(per_second=20))
        second = send_order(folder, Wanted(paused=True))
        assert second.serial > first.serial
        assert read_order(folder.control, since) == second
        assert second.wanted == Wanted(per_second=20, paused=True)
    with folder.lock():
        assert read_order(folder.control, folder.holder()["since"]) is None
        assert send_order(folder, Wanted(workers=3)).wanted == Wanted(workers=3)


def test_orders_given_at_the_same_time_all_count(tmp_path: Path) -> None:
    folder = SomeRun(tmp_path, questions(4)).folder
    with folder.lock(), ThreadPoolExecutor(4) as threads:
        for number in range(1, 31):
            together = Barrier(4)

            def send(wanted: Wanted, together: Barrier = together) -> None:
                together.wait()
                send_order(folder, wanted)

            whole = Wanted(float(number), number, number, bool(number % 2))
            orders = [Wanted(**{name: value}) for name, value in whole.to_json().items()]
            list(threads.map(send, orders))
            found = read_order(folder.control, folder.holder()["since"])
            assert found is not None
            assert found.wanted == whole


def test_a_damaged_order_is_none(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    assert read_order(path, 1.0) is None
    for text in (
        "",
        "{",
        "[]",
        '{"since": 1.0}',
        '{"since": 1.0, "serial": 1, "wanted": {"a": 1}}',
    ):
        path.write_text(text)
        assert read_order(path, 1.0) is None


def test_the_command_says_where_there_is_no_run_and_where_nobody_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_here(capsys, "control", "run", "qps=3")
    assert ended.status == 2
    assert "run" in ended.err
    SomeRun(tmp_path, questions(4))
    ended = run_here(capsys, "control", "run", "qps=3")
    assert ended.status == 2
    assert "nobody is working on run now" in ended.err
    assert "penstock resume run --qps 20" in ended.err
    assert run_here(capsys, "control", "run").status == 2
