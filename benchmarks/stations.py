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
from run import server

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
    from collections.abc import Callable

_ROWS = 4000
_WORKERS = 200
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


def least_us(work: Callable[[], object]) -> float:
    """Of several times, since whatever disturbs only makes it longer."""
    best_s = float("inf")
    for _ in range(_REPEATS):
        started_s = time.process_time()
        work()
        best_s = min(best_s, time.process_time() - started_s)
    return best_s / _ROWS * 1e6


def template() -> float:
    job = Job.build({"prompt": "{{ row_number }} {{ text }}", "model": "qwen-plus"})
    filled = compile_template(job, ["row_number", "text"], default_model=None)
    rows = [Row(row, {"row_number": row, "text": _QUESTION}) for row in range(_ROWS)]
    return least_us(lambda: [filled.fill(row) for row in rows])


async def gate(*, paced: bool) -> float:
    limits = Limits(Pace(1e9) if paced else None, None)
    request = Request(0, b"{}", "", "qwen-plus")
    best_s = float("inf")
    for _ in range(_REPEATS):
        started_s = time.process_time()
        for _ in range(_ROWS):
            limits.settle(await limits.admit(request, 150), None)
        best_s = min(best_s, time.process_time() - started_s)
    return best_s / _ROWS * 1e6


def retry() -> float:
    policy = RetryPolicy(6)
    error = AnsweredError(429, "limit_requests", "Too many requests.", headers={}, request_id="0")

    def fail() -> None:
        for _ in range(_ROWS):
            policy.next_wait_s(Attempts(), judge(error, dashscope=True))

    return least_us(fail)


async def client() -> float:
    """One call and its reply, 200 at once; the server is a process of its own."""
    bodies = iter([b'{"model":"qwen-plus","n":1}'] * (_ROWS * _REPEATS))
    best_s = float("inf")
    with server(0.0) as base_url:
        async with Client(base_url, "sk-x", stream=False, concurrency=_WORKERS) as asked:

            async def send(count: int) -> None:
                for row in range(count):
                    await asked.send(Request(row, next(bodies), "", "qwen-plus"))

            for _ in range(_REPEATS):
                started_s = time.process_time()
                await asyncio.gather(*(send(_ROWS // _WORKERS) for _ in range(_WORKERS)))
                best_s = min(best_s, time.process_time() - started_s)
    return best_s / _ROWS * 1e6


async def journal(folder: Path) -> float:
    kept = Journal(folder, lambda _: 0, lambda _: None)

    def append() -> None:
        for result in _RESULTS:
            kept.append(result)

    cost_us = least_us(append)
    kept.release()
    return cost_us


def seal(folder: Path) -> float:
    parts, records = folder / "completions", folder / "seals"
    parts.mkdir()
    records.mkdir()
    seals = Seals(parts, records, "parquet")
    inputs = pa.record_batch({"row_number": list(range(_ROWS)), "text": [_QUESTION] * _ROWS})
    schema = output_schema(inputs.schema, "")
    return least_us(lambda: seal_block(seals, 0, [inputs], list(_RESULTS), schema, ""))


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs = {
            "template: two columns into a request, its key included": template(),
            "gate: no limit": await gate(paced=False),
            "gate: a pace that is never reached": await gate(paced=True),
            "retry: verdict and wait of an attempt that failed": retry(),
            f"client: a call and its reply, {_WORKERS} at once": await client(),
            "journal: a line handed to the kernel": await journal(folder),
            f"seal: columns, Parquet, hash, fsync; {_ROWS:,} rows a part": seal(folder),
        }
    print("| station | CPU us a row |\n|---|---|")
    for station, cost_us in costs.items():
        print(f"| {station} | {cost_us:.1f} |")
    sys.stdout.flush()


if __name__ == "__main__":
    gc.set_threshold(10_000)  # as the command does
    run_to_end(main())
