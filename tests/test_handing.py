"""Results as an async iterator: all of them, none kept waiting, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from clock import on_fake_clock
from small_runs import provider, question, write_csv

from runner.errors import BudgetReached, DatasetError, JobError, ProviderStopped
from runner.handing import Handing, stream
from runner.job import Job
from runner.records import Result
from runner.simulator import Scenario, answer_to

if TYPE_CHECKING:
    from pathlib import Path


def result(row: int) -> Result:
    return Result(row=row, key="")


def answer(row: int) -> str:
    return str(answer_to([{"role": "user", "content": question(row)}]))


# The sink by itself


def test_results_come_in_the_order_in_which_they_were_kept_and_then_the_end() -> None:
    async def work() -> list[int]:
        handing, rows = Handing(), list[int]()
        working = asyncio.create_task(handing.work())

        async def consume() -> None:
            while (one := await handing.next()) is not None:
                rows.append(one.row)

        consuming = asyncio.create_task(consume())
        for row in (3, 1, 2):
            await handing.keep(result(row))
            await asyncio.sleep(1)
        handing.close()
        await asyncio.gather(consuming, working)
        assert await handing.next() is None
        return rows

    assert on_fake_clock(work) == [3, 1, 2]


def test_workers_wait_for_a_consumer_that_is_far_behind() -> None:
    async def work() -> tuple[int, int]:
        handing, kept = Handing(), 0

        async def produce() -> None:
            nonlocal kept
            for row in range(1000):
                await handing.keep(result(row))
                kept += 1

        producing = asyncio.create_task(produce())
        await asyncio.sleep(1)
        ahead = kept
        rows = [await handing.next() for _ in range(1000)]
        await producing
        return ahead, len(rows)

    ahead, rows = on_fake_clock(work)
    assert ahead < 300
    assert rows == 1000


def test_a_worker_that_is_given_up_while_it_waits_loses_no_result() -> None:
    async def work() -> set[int]:
        handing = Handing()
        workers = [asyncio.create_task(handing.keep(result(row))) for row in range(500)]
        await asyncio.sleep(1)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        handing.close()
        rows = set()
        while (one := await handing.next()) is not None:
            rows.add(one.row)
        return rows

    assert on_fake_clock(work) == set(range(500))


def test_the_end_lets_go_of_everyone() -> None:
    async def work() -> None:
        handing = Handing()
        workers = [asyncio.create_task(handing.keep(result(row))) for row in range(500)]
        await asyncio.sleep(1)
        handing.close()
        await asyncio.gather(*workers)
        await handing.work()

    on_fake_clock(work)


# The whole way


async def test_every_row_s_result_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 700)
    async with provider(monkeypatch) as at:
        rows = {one.row: one.completion async for one in stream(at.job(), path)}
    assert rows == {row: answer(row) for row in range(700)}


async def test_a_slow_consumer_bounds_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 2000)
    async with provider(monkeypatch) as at, aclosing(stream(at.job(), path)) as results:
        await anext(results)
        before = -1
        while at.arrived > before:  # until nothing more is asked
            before = at.arrived
            await asyncio.sleep(0.05)
        assert before < 300


async def leftovers() -> list[str]:
    """Tasks and threads of ours that are still there once the loop has come round."""
    for _ in range(20):
        await asyncio.sleep(0.005)
    own = asyncio.current_task()
    tasks = [repr(task) for task in asyncio.all_tasks() if task is not own]
    threads = [one.name for one in threading.enumerate() if one.name.startswith("penstock")]
    return tasks + threads


@pytest.mark.parametrize("how", ["break", "error", "close"])
async def test_a_consumer_that_breaks_off_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = write_csv(tmp_path / "d.csv", 3000)
    untold: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: untold.append(context))
    async with provider(monkeypatch, latency_s=(0.01, 0.02)) as at:
        before = await leftovers()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await break_off(at.job(), path, how)
            gc.collect()
            # A server task may still be busy with a request whose client has gone.
            after = [one for one in await leftovers() if "RequestHandler" not in one]
    assert set(after) <= set(before)
    assert untold == []


async def break_off(job: Job, path: str, how: str) -> None:
    results = stream(job, path)
    left = 10
    with suppress(ZeroDivisionError):
        async for _ in results:
            left -= 1
            if how == "error":
                _ = 1 / left  # the consumer's own
            elif left == 0:
                break
    if how == "close":
        await results.aclose()


async def test_why_the_run_stopped_is_raised_after_the_results_that_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 500)
    scenario = Scenario.build({"rule": [{"request": [50, 10**6], "answer": "arrearage"}]})
    async with provider(monkeypatch, scenario=scenario) as at:
        results = stream(at.job(), path)
        rows = {(await anext(results)).row for _ in range(49)}
        with pytest.raises(ProviderStopped, match="good standing"):
            await anext(results)
    assert len(rows) == 49


async def test_more_failures_than_allowed_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 500)
    scenario = Scenario.build({"rule": [{"answer": "data_inspection_failed"}]})
    async with provider(monkeypatch, scenario=scenario) as at:
        job = at.job()
        limits = job.limits.model_copy(update={"max_failed": "20"})
        results = stream(job.model_copy(update={"limits": limits}), path)

        async def consume() -> None:
            assert all([one.failed async for one in results])

        with pytest.raises(BudgetReached, match="more than --max-failed 20"):
            await consume()
        assert at.requests < 500


async def test_what_is_wrong_with_the_job_is_raised_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv")
    async with provider(monkeypatch) as at:
        with pytest.raises(JobError, match="nosuch"):
            await anext(stream(at.job(prompt="{{ nosuch }}"), path))
        with pytest.raises(DatasetError, match="missing"):
            await anext(stream(at.job(), str(tmp_path / "missing.csv")))
        monkeypatch.delenv("DASHSCOPE_API_KEY")
        with pytest.raises(JobError, match="DASHSCOPE_API_KEY"):
            await anext(stream(at.job(), path))
        assert at.requests == 0


async def test_a_rehearsal_needs_no_key_and_asks_a_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    path = write_csv(tmp_path / "d.csv", 5)
    job = Job.build({"prompt": "Say {{ text }}", "limits": {"qps": 1000}})
    rows = {one.row: one.completion async for one in stream(job, path, rehearsal=True)}
    assert rows == {row: answer(row) for row in range(5)}
