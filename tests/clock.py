"""A clock for tests: an event loop whose time jumps to the next timer when nothing is left to do.

Sixty seconds of pacing take milliseconds, and take them the same way each time. Nothing real is
waited for: a test that can never go on fails at once with `NothingLeft` instead of hanging. It is
the clock on which runs are rehearsed (`runner.simulated_clock`).
"""

from __future__ import annotations

import asyncio

from runner.simulated_clock import SimulatedClock
from runner.simulated_clock import run_simulated as on_fake_clock

__all__ = ["on_fake_clock", "stall"]


def stall(seconds: float) -> None:
    """Let fake time pass in one leap, with nothing happening in it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedClock)
    loop.jump(seconds)
