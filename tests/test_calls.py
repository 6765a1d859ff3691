"""What a row costs, counted in function calls: a slide that no clock on a busy machine would show.

The counts are differences between a longer and a shorter run, so that beginning and ending are not
in them. Whoever adds a call to every row on purpose raises a bound here and says so.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from threading import Thread
from typing import TYPE_CHECKING

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
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    import pytest
    from scripted_client import Step

FEW, MANY = 500, 1500

# Measured: 154 a row on its whole way, the scripted client and the columns included, and 257 an
# HTTP call of one worker, the event loop included.
MOST_A_ROW = 165
MOST_AN_HTTP_CALL = 265
MOST_WRITES_A_ROW = 1.01


async def profiled(work: Coroutine[Any, Any, object]) -> pstats.Stats:
    """The calls in this thread until `work` is done, C functions included."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        await work
    finally:
        profile.disable()
    return pstats.Stats(profile)


def calls(stats: pstats.Stats, name: str = "") -> int:
    """How many there were, of functions whose name holds `name`."""
    found: dict[tuple[str, int, str], tuple[int, int, float, float, object]]
    found = stats.stats  # type: ignore[attr-defined]
    return sum(counts[1] for function, counts in found.items() if name in function[2])


async def a_run(
    tmp_path: Path, patch: pytest.MonkeyPatch, rows: int, script: Callable[[Asked], Step]
) -> pstats.Stats:
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
    stats = await profiled(run.go())
    assert run.snapshot().tally.succeeded == rows
    return stats


async def test_a_row_on_its_whole_way_costs_so_many_calls_and_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await a_run(tmp_path, monkeypatch, FEW, lambda _: reply())
    many = await a_run(tmp_path, monkeypatch, MANY, lambda _: reply())
    a_row = (calls(many) - calls(few)) / (MANY - FEW)
    assert a_row < MOST_A_ROW
    writes = (calls(many, "posix.write") - calls(few, "posix.write")) / (MANY - FEW)
    assert 1 <= writes < MOST_WRITES_A_ROW


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
        with cProfile.Profile() as profile:
            record = sealing.seal(Seals(parts, records, "parquet"), 0, [inputs])
        assert record.rows == rows
        counts.append(calls(pstats.Stats(profile)))
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
                counts.append(calls(await profiled(send(client, requests))))
    assert (counts[1] - counts[0]) / (MANY - FEW) < MOST_AN_HTTP_CALL


async def send(client: Client, requests: int) -> None:
    for row in range(requests):
        assert (await client.send(Request(row, b'{"a":1}', "0" * 32, "m"))).completion == "yes"
