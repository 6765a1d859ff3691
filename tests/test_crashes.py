"""Whatever stops a run, and how often: in the end every row is there once."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from crash import Crash, Killed
from hypothesis import given, settings
from hypothesis import strategies as st
from small_folder import Small
from some_results import some_failure, some_result

from runner.asked_again import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from runner.records import Result


def all_of(rows: int) -> dict[int, str | None]:
    return {row: f"answer {row}" for row in range(rows)}


class Shuffle(random.Random):
    def shuffled(self, rows: list[int]) -> list[int]:
        return self.sample(rows, len(rows))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_history_of_scopes_stops_and_orders_ends_with_every_row_once(
    data: st.DataObject,
) -> None:
    rows = data.draw(st.integers(1, 20), "rows")
    scopes = st.none() | st.integers(1, rows)
    asked: list[int] = []
    kept: set[int] = set()

    def answer(row: int) -> Result | None:
        asked.append(row)
        if data.draw(st.booleans(), f"row {row} is answered"):
            kept.add(row)
            return some_result(row)
        return None

    with TemporaryDirectory() as folder:
        small = Small(Path(folder) / "run", rows=rows, block_rows=data.draw(st.integers(1, 6)))
        for _ in range(data.draw(st.integers(0, 4), "runs")):
            before = set(kept)
            source = Shuffle(data.draw(st.integers(0, 99), "seed"))
            end = data.draw(scopes, "scope")
            now = asyncio.run(small.go(end=end, answer=answer, order=source.shuffled))
            assert set(now) == set(range(rows if end is None else end)) - before
        asyncio.run(small.go(end=rows))
        assert small.completions() == all_of(rows)
        assert small.journalled() == []


async def test_a_crash_at_any_call_to_the_disk_loses_no_row_and_asks_none_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths, again = 0, [0]
    for after in range(200):
        small = Small(tmp_path / str(after), rows=10)
        earlier = {1: some_result(1), 5: some_failure(5)}
        await small.go(answer=earlier.get)
        handed_over: list[int] = []
        with monkeypatch.context() as patch:
            crash = Crash(patch, after=after)
            with suppress(Killed, BaseExceptionGroup):
                await small.go(answer=handing(handed_over), retry=Retry(["failed"], None))
        again = await small.go()
        # At most the row whose line was on its way when the process died.
        assert not set(again) & {1, 5, *handed_over[: -1 if crash.happened else None]}
        done = small.completions()
        assert done.keys() == set(range(10))
        assert {row for row in done if done[row] is None} <= {5}
        assert small.journalled() == []
        if not crash.happened:
            break
        deaths += 1
    assert again == []
    assert 30 < deaths < 199


def handing(handed_over: list[int]) -> Callable[[int], Result]:
    def answer(row: int) -> Result:
        handed_over.append(row)
        return some_result(row)

    return answer
