"""The server knows how late it was."""

from __future__ import annotations

import asyncio

import pytest
from clock import on_fake_clock, stall

from runner.simulator.lateness import Lateness


def test_the_longest_stall_is_known_until_it_is_forgotten() -> None:
    async def work() -> list[float]:
        lateness, seen = Lateness(), list[float]()
        for stalled_s in (0.0, 0.3, 0.1):
            await asyncio.sleep(1)
            stall(stalled_s)
            await asyncio.sleep(1)
            seen.append(lateness.largest_s)
        lateness.reset()
        await asyncio.sleep(1)
        seen.append(lateness.largest_s)
        lateness.close()
        stall(1)
        await asyncio.sleep(1)
        seen.append(lateness.largest_s)
        return seen

    # Up to a beat of a stall passes before a timer is due.
    assert on_fake_clock(work) == pytest.approx([0, 0.29, 0.29, 0, 0], abs=0.011)
