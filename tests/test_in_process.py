"""The stand-in provider without sockets: does it keep the limits that it is given?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from runner.errors import AnsweredError
from runner.records import Request, Usage
from runner.simulated_clock import run_simulated
from runner.simulator import InProcess, Planned, SimulatorSettings
from runner.verdict import judge

if TYPE_CHECKING:
    from runner.records import Reply


def request(row: int, model: str = "m") -> Request:
    return Request(row, b"{}", f"{row % 256:02x}" + "0" * 30, model)


def provider(**limits: float) -> InProcess:
    settings = SimulatorSettings(**limits)  # type: ignore[arg-type]
    return InProcess(
        lambda _: settings, plan=lambda one: Planned(Usage(50, 9, 59), 0.1, one.row > 0)
    )


def test_it_answers_as_planned_and_takes_that_long() -> None:
    async def work() -> list[Reply]:
        asked = provider()
        return await asyncio.gather(*(asked.send(request(row), lambda: None) for row in range(2)))

    for reply, reason in zip(run_simulated(work), ("stop", "length"), strict=True):
        assert reply.usage == Usage(50, 9, 59)
        assert reply.latency_s == pytest.approx(0.1, abs=1e-3)
        assert reply.finish_reason == reason


@pytest.mark.parametrize(
    ("limits", "code"), [({"qps": 5}, "limit_requests"), ({"tpm": 400}, "insufficient_quota")]
)
def test_beyond_a_limit_it_throttles_as_the_provider_does(
    limits: dict[str, float], code: str
) -> None:
    async def work() -> tuple[list[AnsweredError], InProcess]:
        asked, refused = provider(**limits), []
        for row in range(20):
            try:
                await asked.send(request(row), lambda: None)
            except AnsweredError as error:
                refused.append(error)
        return refused, asked

    refused, asked = run_simulated(work)
    assert refused
    assert (asked.asked, asked.throttled) == (20, len(refused))
    assert {error.code for error in refused} == {code}
    assert judge(refused[0], dashscope=True).action.name == "THROTTLED"


def test_each_model_has_limits_of_its_own() -> None:
    async def work() -> int:
        asked = provider(qps=1)
        await asyncio.gather(*(asked.send(request(0, model), lambda: None) for model in "abc"))
        return asked.throttled

    assert run_simulated(work) == 0
