"""The stand-in server's own log, on times of the test's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.simulator import log as simulator_log
from runner.simulator.log import Asked, SimulatorLog
from runner.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    import pytest


def ask(log: SimulatorLog, now_s: float, body: int, *, line: str = "answer") -> None:
    digest = body.to_bytes(16, "big")
    attempt = log.arrived(now_s, digest)
    asked = Asked(now_s, digest, attempt, log.requests, "id", 0, {}, None, "text", "qwen-plus")
    log.finished(now_s, asked=asked, status=200, line=line, answer=None)


def new_log(settings: SimulatorSettings) -> SimulatorLog:
    return SimulatorLog(settings, epoch_s=1_000.0, file=None)


def test_an_even_pace_at_the_limit_uses_all_of_it() -> None:
    log = new_log(SimulatorSettings(qps=8, rpm=480))
    for i in range(800):
        ask(log, i / 8, i)
    stats = log.stats()
    assert stats["share_used"] == {"qps": 1.0, "rpm": 1.0}
    assert (stats["largest_1s"], stats["largest_60s"]) == (8, 480)


def test_throttled_requests_use_nothing_of_the_limit() -> None:
    log = new_log(SimulatorSettings(qps=8))
    for i in range(80):
        ask(log, i / 8, i, line="throttled:limit_requests" if i % 2 else "answer")
    assert log.stats()["share_used"] == {"qps": 0.5}


def test_the_log_in_memory_is_bounded_and_keeps_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulator_log, "KEPT", 10)
    log = new_log(SimulatorSettings())
    for i in range(25):
        ask(log, float(i), i)
    kept = [json.loads(line) for line in b"".join(log.lines()).splitlines()]
    assert [int(entry["body"], 16) for entry in kept] == list(range(15, 25))
    assert kept[0]["at"] == 1_015.0
    assert log.stats()["requests"] == 25


def test_a_body_asked_and_answered_again_is_named() -> None:
    log = new_log(SimulatorSettings())
    for line in ("overloaded", "answer", "answer"):
        ask(log, 0.0, 7, line=line)
    ask(log, 1.0, 8)
    stats = log.stats()
    assert stats["asked_again_bodies"] == {f"{7:032x}": {"asked": 3, "answered": 2}}
    assert (stats["answered"], stats["answered_again"]) == (3, 1)
