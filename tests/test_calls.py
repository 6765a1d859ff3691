"""What a row costs, counted in function calls: a slide that no clock on a busy machine would show.

The counts are differences between a longer and a shorter run, so that beginning and ending are not
in them. Whoever adds a call to every row on purpose raises a bound here and says so.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Self

import pyarrow as pa
from raw_server import http, raw_server
from scripted_client import Asked, ScriptedClient, reply
from small_runs import KEY, write_parquet
from some_results import some_result

from runner import running
from runner.begin import begin
from runner.client import Client
from runner.job import Job
from runner.output import output_schema
from runner.records import Request
from runner.sealing import Sealing
from runner.seals import Seals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import pytest
    from scripted_client import Step

FEW, MANY = 500, 1500

# Measured on Python 3.11, 3.12 and 3.13: 159 to 162 a row on its whole way, the scripted client and
# the columns included, and 252 to 259 an HTTP call of one worker, the event loop included.
MOST_A_ROW = 170
MOST_AN_HTTP_CALL = 270
MOST_WRITES_A_ROW = 1.01


class Calls:
    """Counts the calls in this thread while it is entered, C functions included."""

    def __init__(self) -> None:
        self.total = 0
        self.writes = 0  # `os.write` alone

    def __enter__(self) -> Self:
        # Not cProfile: from Python 3.12 on it hears all threads.
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, _: object, event: str, function: object) -> None:
        if event in ("call", "c_call"):
            self.total += 1
            if function is os.write:
                self.writes += 1


async def a_run(
    tmp_path: Path, patch: pytest.MonkeyPatch, rows: int, script: Callable[[Asked], Step]
) -> Calls:
    """A run over so many rows whose client answers by `script`."""

    @asynccontextmanager
    async def scripted(*_: object) -> AsyncIterator[ScriptedClient]:
        yield ScriptedClient(script, latency_s=0.001)

    patch.setenv("DASHSCOPE_API_KEY", KEY)
    patch.setattr(running, "connect", scripted)
    job = Job.build(
        {
            "prompt": "Say {{ text }}",
            "model": "qwen-plus",
            "base_url": "http://127.0.0.1:9/v1",
            "limits": {"concurrency": 50},
        }
    )
    paths = [write_parquet(tmp_path / f"{rows}.parquet", rows)]
    run = begin(job, paths, str(tmp_path / f"run-{rows}"))
    with Calls() as calls:
        await run.go()
    assert run.snapshot().tally.succeeded == rows
    return calls


async def test_a_row_on_its_whole_way_costs_so_many_calls_and_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await a_run(tmp_path, monkeypatch, FEW, lambda _: reply())
    many = await a_run(tmp_path, monkeypatch, MANY, lambda _: reply())
    assert (many.total - few.total) / (MANY - FEW) < MOST_A_ROW
    assert 1 <= (many.writes - few.writes) / (MANY - FEW) < MOST_WRITES_A_ROW


def test_the_sealing_thread_does_nothing_for_each_row(tmp_path: Path) -> None:
    # What it does in Python, it does while the event loop waits for the interpreter.
    counts = []
    for rows in (64, 1024):
        parts, records = (tmp_path / str(rows) / name for name in ("completions", "seals"))
        parts.mkdir(parents=True)
        records.mkdir()
        inputs = pa.record_batch({"text": ["a text"] * rows})
        sealing = Sealing(
            [some_result(row) for row in range(rows)], output_schema(inputs.schema, ""), ""
        )
        deque(sealing.gather(), maxlen=0)
        with Calls() as calls:
            record = sealing.seal(Seals(parts, records, "parquet"), 0, [inputs])
        assert record.rows == rows
        counts.append(calls.total)
    assert counts[0] == counts[1]


@contextmanager
def elsewhere(answer: bytes) -> Iterator[str]:
    """The address of a server in a thread of its own, whose calls do not count here."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    serving = raw_server(answer)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result().base_url
    finally:
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_an_http_call_costs_so_many_calls() -> None:
    answer = http(
        b'{"id":"1","model":"m","created":1,"choices":[{"finish_reason":"stop","message":'
        b'{"content":"yes"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    )
    counts = []
    with elsewhere(answer) as base_url:
        for requests in (FEW, MANY):
            async with Client(base_url, "sk-x", stream=False, concurrency=1) as client:
                with Calls() as calls:
                    await send(client, requests)
                counts.append(calls.total)
    assert (counts[1] - counts[0]) / (MANY - FEW) < MOST_AN_HTTP_CALL


async def send(client: Client, requests: int) -> None:
    for row in range(requests):
        assert (await client.send(Request(row, b'{"a":1}', "0" * 32, "m"))).completion == "yes"
