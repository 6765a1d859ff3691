"""Plain code that runs a coroutine, and plain code beside a loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from runner.event_loop import in_background, run_to_end


async def _double(value: int) -> int:
    await asyncio.sleep(0)
    return 2 * value


def test_a_coroutine_s_value_is_returned_and_its_error_raised() -> None:
    assert run_to_end(_double(21)) == 42

    async def fail() -> None:
        raise LookupError("told")

    with pytest.raises(LookupError, match="told"):
        run_to_end(fail())


async def test_inside_a_running_loop_it_is_refused_and_nothing_is_left_unawaited() -> None:
    with pytest.raises(RuntimeError, match="await it instead"):
        run_to_end(_double(21))


async def test_work_beside_the_loop_is_done_in_a_thread() -> None:
    assert await in_background(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        await in_background(lambda: 1 // 0)


async def test_work_that_nobody_waits_for_any_more_is_let_go() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait()

    waiting = asyncio.create_task(in_background(work))
    await asyncio.to_thread(begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()


def test_the_process_does_not_wait_for_it() -> None:
    endless = (
        "import asyncio, threading\nfrom runner.event_loop import in_background, run_to_end\n"
        "async def main():\n"
        "    task = asyncio.create_task(in_background(threading.Event().wait))\n"
        "    await asyncio.sleep(0)\n    task.cancel()\n"
        "run_to_end(main())\nprint('ended')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", endless], capture_output=True, encoding="utf-8", timeout=60,
        check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("ended\n", "")
