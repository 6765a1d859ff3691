"""Limits per model: each model its own, the user's for all together."""

from __future__ import annotations

import asyncio
from collections import Counter

from clock import on_fake_clock

from runner.lanes import Lanes
from runner.limits import Limits, Pace, TokenBudget
from runner.pacing import ChosenLimits
from runner.records import Part, Request

# What the tables know of two models; "qwen-plus" is the job's own, "mystery" is in no table.
KNOWN = {"qwen-max": (2.0, None), "qwen-flash": (20.0, 60_000)}


def own(model: str) -> ChosenLimits | None:
    if model not in KNOWN:
        return None
    per_second, tokens = KNOWN[model]
    return ChosenLimits(per_second, False, tokens, 8, ())


def lanes_of(per_second: float | None, tokens: int | None = None, *, is_set: bool = False) -> Lanes:
    chosen = ChosenLimits(
        per_second, False, tokens, 8, (), pace_is_set=is_set, tokens_are_set=is_set
    )
    return Lanes.of_run(chosen, own)


async def sent_in(lanes: Lanes, seconds: float, models: list[str]) -> Counter[str]:
    """How many requests of each model got through, with enough of each always waiting."""
    sent: Counter[str] = Counter()

    async def work(model: str) -> None:
        while True:
            limits = lanes.of(model).limits
            limits.settle(await limits.admit(Request(0, b"{}", "", model), 1), None)
            sent[model] += 1

    tasks = [asyncio.create_task(work(model)) for model in models for _ in range(3)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sent


def test_each_model_has_the_pace_of_its_own() -> None:
    async def work() -> Counter[str]:
        return await sent_in(lanes_of(5), 10, ["qwen-plus", "qwen-max"])

    sent = on_fake_clock(work)
    assert 48 <= sent["qwen-plus"] <= 51
    assert 18 <= sent["qwen-max"] <= 21


def test_models_that_nobody_knows_share_the_usual_pace() -> None:
    async def work() -> Counter[str]:
        return await sent_in(lanes_of(5), 10, ["qwen-plus", "mystery", "enigma"])

    assert 48 <= on_fake_clock(work).total() <= 51


def test_what_was_set_holds_for_all_models_together() -> None:
    async def work() -> Counter[str]:
        lanes = lanes_of(5, is_set=True)
        assert lanes.of("qwen-max").throttling is lanes.of("qwen-plus").throttling
        return await sent_in(lanes, 10, ["qwen-plus", "qwen-max", "qwen-flash"])

    assert 48 <= on_fake_clock(work).total() <= 51


def test_only_the_limit_that_was_set_is_shared() -> None:
    async def work() -> None:
        usual = Limits(Pace(5), TokenBudget(1000))
        lanes = Lanes(usual, own=own, one_pace=True)
        flash = lanes.of("qwen-flash").limits
        assert flash.pace is usual.pace
        assert flash.tokens is not usual.tokens
        assert flash.tokens is not None
        assert flash.tokens.per_minute == 60_000
        assert lanes.of("qwen-max").limits.tokens is None

    on_fake_clock(work)


def test_a_pace_that_is_set_live_holds_for_all_together_from_then_on() -> None:
    async def work() -> None:
        lanes, models = lanes_of(5), ["qwen-plus", "qwen-max", "qwen-flash"]
        before = asyncio.create_task(sent_in(lanes, 10, models))
        after = asyncio.create_task(sent_in(lanes, 20, models))
        await asyncio.sleep(9.999)
        lanes.set_pace(1)
        # Those of `after` had half of every slot, and from now on all of one a second.
        assert (await before).total() > 70
        assert (await after).total() <= (await before).total() + 3 + 11
        assert lanes.to_json() == {"qps": 1, "tpm": None, "models": {
            "qwen-flash": {"qps": 1, "tpm": 60_000}}}  # fmt: skip

    on_fake_clock(work)


def test_lifting_the_pace_lets_everyone_through() -> None:
    async def work() -> None:
        lanes = lanes_of(0.01)
        limits = lanes.of("qwen-plus").limits
        await limits.admit(Request(0, b"{}", "", "qwen-plus"), 1)
        second = asyncio.create_task(limits.admit(Request(1, b"{}", "", "qwen-plus"), 1))
        await asyncio.sleep(1)
        assert lanes.at_pace == 1
        lanes.set_pace(None)
        lanes.set_tokens(30_000)
        # It waited for limits that are gone, and now waits for those that hold.
        assert limits.tokens is not None
        assert await second is not None
        assert lanes.of("qwen-max").throttling is None
        assert lanes.to_json() == {"qps": None, "tpm": 30_000}

    on_fake_clock(work)


def test_a_part_is_taken_of_every_lane_also_of_later_ones() -> None:
    async def work() -> None:
        lanes = lanes_of(5)
        lanes.of("qwen-max")
        lanes.take(Part(0, 2))
        for model in ("qwen-plus", "qwen-max", "qwen-flash"):
            pace = lanes.of(model).limits.pace
            assert pace is not None
            assert pace.part == Part(0, 2)

    on_fake_clock(work)


def test_models_under_one_pace_stand_in_one_line_that_is_kept_short() -> None:
    async def work() -> bool:
        lanes = lanes_of(5, is_set=True)
        tasks = [
            asyncio.create_task(lanes.of(model).limits.admit(Request(0, b"{}", "", model), 1))
            for model in ("qwen-plus", "qwen-max", "qwen-flash", "qwen-max")
        ]
        await asyncio.sleep(0)
        short = lanes.has_short_line()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return short

    assert not on_fake_clock(work)
