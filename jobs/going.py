"""Runs a run: signals, the lines on the screen, the closing summary and the exit status."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from jobs.screen import whoever_reads_it
from jobs.words import print_summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.screen import Screen
    from runner import Run, Summary

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Left to itself, glibc takes ever larger pieces from its heaps once one has been freed, and a heap
# keeps what lies below its top: 15 MB more at the peak of 200,000 rows.
_M_MMAP_THRESHOLD = -3  # malloc.h
_OWN_MAPPING_BYTES = 128 << 10  # glibc's own beginning, held there


def go(run: Run, screen: Screen, *, as_json: bool) -> int:
    """Let the run go to its end, or to the first Ctrl-C; its exit status."""
    summary = go_quietly(run, screen)
    with whoever_reads_it():
        if as_json:
            print(json.dumps(summary.to_json(), ensure_ascii=False), flush=True)
        else:
            print_summary(summary)
    return summary.exit_status or 0


def give_back_what_is_freed() -> None:
    """Keep memory low from now on; best before anything large is read."""
    with suppress(OSError, AttributeError, TypeError):  # another libc
        if sys.platform == "linux":
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)


def go_quietly(run: Run, screen: Screen) -> Summary:
    """The same without a closing word: how it ended."""
    from runner import run_to_end

    # What has been imported stays for good. Looking through it for garbage now and then would stop
    # everything for tens of milliseconds, with requests whose time has come.
    gc.freeze()
    give_back_what_is_freed()
    return run_to_end(_go(run, screen))


async def _go(run: Run, screen: Screen) -> Summary:
    with _signals(run, screen), screen.shown(run):
        return await run.go()


@contextmanager
def _signals(run: Run, screen: Screen) -> Iterator[None]:
    """Once: stop sending and wait for what is on its way. Twice: now."""
    loop = asyncio.get_running_loop()
    received = 0

    def stop(name: str) -> None:
        nonlocal received
        received += 1
        if received == 1:
            screen.say(f"{name}: nothing more is sent; once more to stop at once.")
        run.stop()

    def from_anywhere(number: int, frame: Any) -> None:
        del frame
        loop.call_soon_threadsafe(stop, signal.Signals(number).name)

    # Not loop.add_signal_handler, which Windows has not.
    before = {number: signal.signal(number, from_anywhere) for number in _SIGNALS}
    if hasattr(signal, "SIGHUP"):  # a closed terminal
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, from_anywhere)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_person() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
