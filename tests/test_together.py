"""Tasks side by side: the first error comes out as itself."""

from __future__ import annotations

import asyncio

import pytest

from runner.together import together


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def fail() -> None:
    raise KeyError("told")


async def test_the_error_of_a_task_is_raised_as_itself_and_the_others_are_cancelled() -> None:
    others: list[asyncio.Task[None]] = []

    async def work() -> None:
        async with together() as tasks:
            others.append(tasks.create_task(never()))
            tasks.create_task(fail())

    with pytest.raises(KeyError, match="told"):
        await work()
    assert others[0].cancelled()


async def test_so_is_one_from_a_group_within_a_group() -> None:
    async def deeper() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    with pytest.raises(KeyError, match="told"):
        async with together() as tasks:
            tasks.create_task(deeper())


async def test_the_error_of_the_block_itself_is_raised_as_itself() -> None:
    others: list[asyncio.Task[None]] = []

    async def work() -> None:
        async with together() as tasks:
            others.append(tasks.create_task(never()))
            raise LookupError("own")

    with pytest.raises(LookupError, match="own") as told:
        await work()
    assert others[0].cancelled()
    assert told.value.__cause__ is None


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        async with together() as tasks:
            tasks.create_task(never())

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_values_are_there_when_it_ends_well() -> None:
    async with together() as tasks:
        task = tasks.create_task(asyncio.sleep(0, "done"))
    assert task.result() == "done"
