"""The scripted client does what its script says, and notes what it was asked."""

from __future__ import annotations

import asyncio

import pytest
from clock import on_fake_clock
from pool import fill
from scripted_client import (
    Asked,
    ScriptedClient,
    Step,
    bad_key,
    broken_off,
    filtered,
    overloaded,
    refused,
    reply,
    stream_only,
    throttled,
    too_slow,
)

from runner.errors import AnsweredError, AttemptFailed
from runner.records import Action, Row
from runner.verdict import judge


def test_answers_by_row_and_attempt_and_takes_its_time() -> None:
    def script(asked: Asked) -> Step:
        return throttled() if asked.attempt == 1 else reply(f"row {asked.row}")

    async def work() -> None:
        client = ScriptedClient(script, latency_s=2.0)
        with pytest.raises(AnsweredError, match="429"):
            await client.send(fill(Row(3, {})))
        assert (await client.send(fill(Row(3, {})))).completion == "row 3"
        assert [(one.row, one.attempt, round(one.at_s, 3)) for one in client.sent] == [
            (3, 1, 0.0),
            (3, 2, 2.0),
        ]
        assert client.most_in_flight == 1

    on_fake_clock(work)


def test_an_attempt_without_an_answer_can_be_cancelled() -> None:
    async def work() -> None:
        client = ScriptedClient(lambda _: None)
        sending = asyncio.create_task(client.send(fill(Row(0, {}))))
        await asyncio.sleep(1000)
        assert client.in_flight == 1
        sending.cancel()
        await asyncio.wait([sending])
        assert client.in_flight == 0

    on_fake_clock(work)


@pytest.mark.parametrize(
    ("failure", "action", "outage"),
    [
        (throttled(), Action.THROTTLED, False),
        (throttled(burst=True), Action.THROTTLED, False),
        (filtered(), Action.FAIL, False),
        (stream_only(), Action.CONFIG, False),
        (bad_key(), Action.STOP, False),
        (overloaded(), Action.AGAIN, True),
        (refused(), Action.AGAIN, True),
        (too_slow(), Action.AGAIN, False),
        (broken_off(known=True), Action.AGAIN, False),
    ],
)
def test_its_failures_are_what_they_are_called(
    failure: AttemptFailed, action: Action, outage: bool
) -> None:
    verdict = judge(failure)
    assert (verdict.action, verdict.outage) == (action, outage)
    assert verdict.burst == ("too quickly" in str(failure))
