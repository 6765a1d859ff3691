"""The sink of a rehearsal: what comes of it, and which limit binds meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from runner.rehearsed import Stretch
from runner.tally import PICO
from runner.unkept import Unkept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.records import Result
    from runner.run import Course
    from runner.simulator import InProcess
    from runner.tally import Tally

PARTS: Final = 10
_LOOK_EVERY_S: Final = 1.0  # of simulated time: which limit binds?
_HEARD_EVERY_ROWS: Final = 500


class Watch(Unkept):
    """The sink of a rehearsal: keeps sums, and how each tenth of the rows went."""

    def __init__(
        self,
        spans: Sequence[range],  # the rows to rehearse
        client: InProcess,
        heard: Callable[[int, int | None], None],
        *,
        before: Tally | None,  # what the run has taken already; None: it has not begun
    ) -> None:
        super().__init__(before)
        self._spans = list(spans)
        self._of, self.client, self._heard = sum(map(len, spans)), client, heard
        self._loop = asyncio.get_running_loop()
        self.start_s = self.last_s = self._loop.time()
        self._binding: Counter[str] = Counter()
        self._mark = (0, self.start_s, 0, 0, 0)  # rows, time, asked, throttled, tokens at the last
        self.stretches: list[Stretch] = []
        self.rows = self.failed = 0
        self.prompt_tokens = self.completion_tokens = 0
        self._pico = 0  # 1e-12 of the currency
        self.currency: str | None = None
        self.unpriced = False

    @property
    def cost(self) -> float:
        """Of the rows so far."""
        return self._pico / PICO

    def spans(self, end: int | None) -> list[range]:
        """The rows that have no result."""
        del end
        return self._spans

    async def keep(self, result: Result) -> None:
        """Add it to the sums."""
        self.rows += 1
        self.last_s = self._loop.time()
        self.failed += result.failed
        self.prompt_tokens += result.prompt_tokens or 0
        self.completion_tokens += result.completion_tokens or 0
        self.unpriced |= result.cost is None and result.total_tokens is not None
        self._pico += round((result.cost or 0.0) * PICO)
        self.currency = self.currency or result.currency
        if self.rows >= self._of * (len(self.stretches) + 1) // PARTS:
            self.end_stretch()
        if self.rows % _HEARD_EVERY_ROWS == 0:
            self._heard(self.rows, self._of)
        self.count(result)

    def end_stretch(self) -> None:
        """A tenth is over, or the run has stopped within one."""
        client, now_s = self.client, self.last_s
        rows, began_s, asked, throttled, tokens = self._mark
        self._mark = (self.rows, now_s, client.asked, client.throttled, client.settled_tokens)
        if self.rows == rows:
            return
        seconds = now_s - began_s
        self.stretches.append(
            Stretch(
                rows=self.rows - rows,
                ends_s=now_s - self.start_s,
                seconds=seconds,
                throttled_share=(client.throttled - throttled) / max(1, client.asked - asked),
                tokens_per_minute=(client.settled_tokens - tokens) * 60 / max(seconds, 1e-9),
                limited_by=max(self._binding, key=self._binding.__getitem__, default="none"),
            )
        )
        self._binding.clear()

    def bill(self, price_input: float, price_output: float) -> None:
        """Bill everything at other prices, of 1,000,000 tokens."""
        self.unpriced = False
        cost = (self.prompt_tokens * price_input + self.completion_tokens * price_output) / 1e6
        self._pico = round(cost * PICO)

    async def look(self, course: Course) -> None:
        """Note which limit binds, until cancelled."""
        while True:
            self._binding[course.limited_by()] += 1
            await asyncio.sleep(_LOOK_EVERY_S)
