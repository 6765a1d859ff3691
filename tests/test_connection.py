"""Where a run's requests go, and under which limits a rehearsal is held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from small_runs import KEY, provider, write_csv

from runner.connection import connect
from runner.errors import AnsweredError, JobError
from runner.job import Job
from runner.preflight import Preflight, prepare
from runner.records import Row

if TYPE_CHECKING:
    from pathlib import Path


def preflight(folder: Path, **settings: Any) -> Preflight:
    return prepare(Job.build({"prompt": "{{ text }}", **settings}), [write_csv(folder / "d.csv")])


async def test_with_a_key_requests_go_to_the_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        flight = prepare(at.job(), [write_csv(tmp_path / "d.csv")])
        request = flight.template.fill(Row(0, {"text": "1"}))
        async with connect(flight, flight.read_key()) as client:
            assert (await client.send(request)).completion
        assert at.requests == 1


async def test_without_a_key_a_stand_in_answers_and_nobody_else_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        flight = prepare(at.job(), [write_csv(tmp_path / "d.csv")])
        request = flight.template.fill(Row(0, {"text": "1"}))
        async with connect(flight, None) as client:
            assert (await client.send(request)).completion
        assert at.requests == 0


@pytest.mark.parametrize(("qps", "let_in"), [(3, 3), (0.5, 1)])
async def test_the_stand_in_holds_a_rehearsal_to_the_run_s_own_limits(
    tmp_path: Path, qps: float, let_in: int
) -> None:
    flight = preflight(tmp_path, limits={"qps": qps})
    request = flight.template.fill(Row(0, {"text": "1"}))
    async with connect(flight, None) as client:
        sending = [client.send(request) for _ in range(let_in + 2)]
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, AnsweredError)]
    assert [one.status for one in refused] == [429, 429]


async def test_a_way_to_the_endpoint_that_cannot_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    flight = preflight(tmp_path, ca_file=str(tmp_path / "missing.pem"))
    with pytest.raises(JobError, match=r"missing\.pem"):
        await connect(flight, flight.read_key()).__aenter__()


async def test_the_key_is_in_no_text_of_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    flight = preflight(tmp_path)
    key = flight.read_key()
    async with connect(flight, key) as client:
        assert KEY not in repr(client) + repr(key) + repr(flight)
