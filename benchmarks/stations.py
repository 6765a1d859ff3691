"""What does each station of a row's way cost by itself? Microseconds of CPU a row, best of seven.

Alone, in one thread and with nothing else to do: less than in the whole way, where caches are cold.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from run import about, bare_loop, measure, server, spread

from runner.client import Client
from runner.errors import AnsweredError
from runner.event_loop import run_to_end
from runner.job import Job
from runner.journal import Journal
from runner.limits import Limits, Pace
from runner.output import output_schema
from runner.records import Request, Result, Row
from runner.retry import Attempts, RetryPolicy
from runner.sealing import seal_block
from runner.seals import Seals
from runner.template import compile_template
from runner.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Station = Callable[[], Awaitable[None]]  # so many rows, once

_ROWS = 4000
_WORKERS = 200
_BARE_ROWS = 20_000
_REPEATS = 7
_QUESTION = "A question of the usual length, asked again and again. " * 11
_RESULTS = [
    Result(
        row=row, key=f"{row:032x}", completion="A reply of usual length. " * 14,
        finish_reason="stop", model="qwen-plus", response_id="chatcmpl-benchmark",
        created=1795500000, prompt_tokens=150, completion_tokens=80, total_tokens=230,
        cached_tokens=0, reasoning_tokens=0, cost=0.001, attempts=1, latency_s=0.05 + row * 1e-7,
        request_id="0", currency="USD", finished_at=1795500000.0 + row * 1e-3,
    )
    for row in range(_ROWS)
]  # fmt: skip


def template() -> Station:
    job = Job.build({"prompt": "{{ row_number }} {{ text }}", "model": "qwen-plus"})
    filled = compile_template(job, ["row_number", "text"], default_model=None)
    rows = [Row(row, {"row_number": row, "text": _QUESTION}) for row in range(_ROWS)]

    async def once() -> None:
        for row in rows:
            filled.fill(row)

    return once


def gate(*, paced: bool) -> Station:
    limits = Limits(Pace(1e9) if paced else None, None)
    request = Request(0, b"{}", "", "qwen-plus")

    async def once() -> None:
        for _ in range(_ROWS):
            limits.settle(await limits.admit(request, 150), None)

    return once


def retry() -> Station:
    policy = RetryPolicy(6)
    error = AnsweredError(429, "limit_requests", "Too many requests.", headers={}, request_id="0")

    async def once() -> None:
        for _ in range(_ROWS):
            policy.next_wait_s(Attempts(), judge(error, dashscope=True))

    return once


def call(asked: Client) -> Station:
    """One call and its reply, 200 at once; the server is a process of its own."""

    async def send(count: int) -> None:
        for row in range(count):
            await asked.send(Request(row, b'{"model":"qwen-plus","n":1}', "", "qwen-plus"))

    async def once() -> None:
        await asyncio.gather(*(send(_ROWS // _WORKERS) for _ in range(_WORKERS)))

    return once


def journal(kept: Journal) -> Station:
    async def once() -> None:
        for result in _RESULTS:
            kept.append(result)

    return once


def seal(folder: Path) -> Station:
    parts, records = folder / "completions", folder / "seals"
    parts.mkdir()
    records.mkdir()
    seals = Seals(parts, records, "parquet")
    inputs = pa.record_batch({"row_number": list(range(_ROWS)), "text": [_QUESTION] * _ROWS})
    schema = output_schema(inputs.schema, "")

    async def once() -> None:
        seal_block(seals, 0, [inputs], list(_RESULTS), schema, "")

    return once


async def us_a_row(once: Station) -> float:
    started_s = time.process_time()
    await once()
    return (time.process_time() - started_s) / _ROWS * 1e6


async def main() -> None:
    with tempfile.TemporaryDirectory() as name, server(0.0) as base_url:
        folder = Path(name)
        loops = [
            bare_loop(f"{base_url}/chat/completions", rows, _WORKERS) for rows in (0, _BARE_ROWS)
        ]
        kept = Journal(folder, lambda _: 0, lambda _: None)
        async with Client(base_url, "sk-x", stream=False, concurrency=_WORKERS) as asked:
            stations = {
                "template: two columns into a request, its key included": template(),
                "gate: no limit": gate(paced=False),
                "gate: a pace that is never reached": gate(paced=True),
                "retry: verdict and wait of an attempt that failed": retry(),
                f"client: a call and its reply, {_WORKERS} at once": call(asked),
                "journal: a line handed to the kernel": journal(kept),
                f"seal: columns, Parquet, hash, fsync; {_ROWS:,} rows a part": seal(folder),
            }
            costs_us: dict[str, list[float]] = {station: [] for station in stations}
            bare_us: list[float] = []
            for _ in range(_REPEATS):
                idle, busy = (measure(loop, folder).cpu_s for loop in loops)
                bare_us.append((busy - idle) / _BARE_ROWS * 1e6)
                for station, once in stations.items():
                    costs_us[station].append(await us_a_row(once))
        kept.release()
    print(f"{about()}; medians of {_REPEATS} rounds, least to greatest\n")
    print("| station | CPU us a row | bare loop = 1 |\n|---|---|---|")
    print(f"| the bare loop: a request and its reply | {spread(bare_us, 1)} | 1 |")
    for station, found_us in costs_us.items():
        ratios = [us / bare for us, bare in zip(found_us, bare_us, strict=True)]
        print(f"| {station} | {spread(found_us, 1)} | {spread(ratios)} |")
    sys.stdout.flush()


if __name__ == "__main__":
    gc.set_threshold(10_000)  # as the command does
    run_to_end(main())
