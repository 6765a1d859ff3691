"""How fast it goes, over the last ten seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
import pytest
from some_results import some_failure, some_result

from runner.errors import MachineFault
from runner.progress import Progress
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """Seconds, moved on by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 5000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def second(clock: Clock, tally: Tally, progress: Progress, rows: int) -> None:
    """A second in which so many rows were answered."""
    for _ in range(rows):
        tally.add(some_result(attempts=2))
    clock.now_s += 1
    progress.mark()


def test_nothing_is_known_before_anything_has_happened(clock: Clock) -> None:
    progress = Progress(Tally())
    assert progress.rates().rows == 0
    assert progress.left_s(100) is None
    clock.now_s += 2.5
    assert progress.elapsed_s == 2.5


def test_rates_are_those_of_the_last_ten_seconds(clock: Clock) -> None:
    tally = Tally()
    progress = Progress(tally)
    for _ in range(100):
        second(clock, tally, progress, 1)
    for _ in range(11):
        second(clock, tally, progress, 7)
    rates = progress.rates()
    assert (rates.rows, rates.requests, rates.tokens) == (7, 14, 280)
    assert progress.left_s(70) == 10
    assert progress.left_s(None) is None


def test_a_stall_shows_after_ten_seconds(clock: Clock) -> None:
    tally = Tally()
    progress = Progress(tally)
    second(clock, tally, progress, 1000)
    for _ in range(11):
        second(clock, tally, progress, 0)
    assert progress.rates().rows == 0
    assert progress.left_s(10) is None


def test_measures_are_lines_of_json(tmp_path: Path) -> None:
    tally = Tally()
    progress = Progress(tally)
    path = tmp_path / "measures.jsonl"
    tally.add(some_result())
    progress.append_measure(path)
    tally.add(some_failure())
    progress.append_measure(path, pace=5)
    first, second_line = map(orjson.loads, path.read_bytes().splitlines())
    assert (first["rows"], first["failed"], first["cost"]) == (1, 0, 0.000123)
    assert (second_line["rows"], second_line["failed"], second_line["pace"]) == (2, 1, 5)
    assert second_line["requests"] == 4


def test_measures_that_cannot_be_written_are_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="cannot write"):
        Progress(Tally()).append_measure(tmp_path)
