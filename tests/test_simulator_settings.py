"""The stand-in server's knobs, and how their flags are read."""

from __future__ import annotations

import pytest

from runner.errors import JobError
from runner.simulator.settings import SimulatorSettings, parse_errors, parse_latency


def test_a_key_is_in_no_repr() -> None:
    assert "sk-made-up" not in repr(SimulatorSettings(key="sk-made-up"))


@pytest.mark.parametrize(("text", "span"), [("0.5", (0.5, 0.5)), ("0.1:2", (0.1, 2.0))])
def test_latencies(text: str, span: tuple[float, float]) -> None:
    assert parse_latency(text) == span


@pytest.mark.parametrize("text", ["", "fast", "-1", "2:1", "1:x", "inf", "nan"])
def test_what_is_no_latency_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(JobError, match=r"--latency .*give seconds"):
        parse_latency(text)


def test_shares_by_status_and_by_name() -> None:
    assert parse_errors("429=0.05, drop=0.5,timeout=0.01") == (
        ("limit_requests", 0.05),
        ("drop", 0.5),
        ("request_timeout", 0.01),
    )
    assert parse_errors("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("429", "write NAME=SHARE"),
        ("429=5", "write NAME=SHARE"),
        ("429=0.6,500=0.6", "more than 1"),
        ("430=0.1", "no error called '430'"),
    ],
)
def test_flawed_shares_are_refused(text: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        parse_errors(text)
