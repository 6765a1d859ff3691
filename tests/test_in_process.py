"""The stand-in provider without sockets: does it keep the limits that it is given?"""

from __future__ import annotations

import asyncio
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from runner.errors import AnsweredError
from runner.records import Request
from runner.simulated_clock import run_simulated
from runner.simulator import InProcess, SimulatorSettings
from runner.verdict import judge

if TYPE_CHECKING:
    from runner.records import Reply


def request(row: int, model: str = "m") -> Request:
    return Request(row, b"{}", f"{row % 256:02x}" + "0" * 30, model)


def provider(mean_tokens: float = 100.0, **limits: float) -> InProcess:
    settings = SimulatorSettings(**limits)  # type: ignore[arg-type]
    return InProcess(
        lambda _: settings,
        read=lambda _: (50, None),
        mean_answer_tokens=mean_tokens,
        answer_s=lambda tokens: tokens / 100,
    )


def test_the_mean_answer_is_as_long_as_was_said_and_a_few_are_much_longer() -> None:
    async def work() -> list[Reply]:
        asked = provider(mean_tokens=300)
        return await asyncio.gather(*(asked.send(request(row), lambda: None) for row in range(256)))

    replies = run_simulated(work)
    lengths = [reply.usage.completion_tokens for reply in replies if reply.usage]
    assert fmean(lengths) == pytest.approx(300, rel=0.01)
    assert max(lengths) > 5 * 300
    for reply, length in zip(replies, lengths, strict=True):
        assert reply.latency_s == pytest.approx(length / 100, abs=1e-3)


def test_the_same_request_has_the_same_answer_each_time() -> None:
    async def work() -> tuple[Reply, Reply]:
        asked = provider()
        return await asked.send(request(7), lambda: None), await asked.send(
            request(7), lambda: None
        )

    first, second = run_simulated(work)
    assert first.usage == second.usage


def test_an_answer_that_would_be_longer_than_the_request_allows_is_cut() -> None:
    async def work() -> list[Reply]:
        asked = InProcess(
            lambda _: SimulatorSettings(),
            read=lambda _: (50, 120),
            mean_answer_tokens=100,
            answer_s=lambda tokens: tokens / 100,
        )
        return await asyncio.gather(*(asked.send(request(row), lambda: None) for row in range(256)))

    found = {
        (reply.finish_reason, reply.usage.completion_tokens)
        for reply in run_simulated(work)
        if reply.usage
    }
    assert {tokens for reason, tokens in found if reason == "length"} == {120}
    assert max(tokens for reason, tokens in found if reason == "stop") <= 120


@pytest.mark.parametrize(
    ("limits", "code"), [({"qps": 5}, "limit_requests"), ({"tpm": 400}, "insufficient_quota")]
)
def test_beyond_a_limit_it_throttles_as_the_provider_does(
    limits: dict[str, float], code: str
) -> None:
    async def work() -> tuple[list[AnsweredError], InProcess]:
        asked, refused = provider(mean_tokens=10, **limits), []
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
