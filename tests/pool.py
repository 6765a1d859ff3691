"""Workers that ask a scripted client: the asking half of a run, without files and without a server.

Runs on the fake clock. `Pool.run` plays it to its end.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

from scripted_client import ScriptedClient

from runner.asking import Asking
from runner.bill import Bill
from runner.errors import FailsRow
from runner.health import Health
from runner.intake import Intake, Turn
from runner.lanes import Lanes
from runner.limits import Limits
from runner.records import Request, Row
from runner.retry import Attempts, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_client import Asked, Step

    from runner.errors import StopsRun
    from runner.records import Result, Unfinished, Usage
    from runner.throttling import Throttling

PICO_PER_TOKEN = 1_000_000


class Prices:
    """A millionth of a crown for each token."""

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        del request, reasoned
        return usage.total_tokens * PICO_PER_TOKEN


def fill(row: Row) -> Request:
    """A request for a row; a flawed one fails unsent."""
    if row.flaw is not None:
        raise FailsRow("input", row.flaw)
    return Request(row.index, b'{"messages":[]}', f"{row.index:032x}", "qwen-plus")


class Pool:
    """What a Course puts together, with a script in the provider's place."""

    def __init__(
        self,
        rows: int | list[Row],
        script: Callable[[Asked], Step],
        *,
        workers: int = 10,
        latency_s: float = 0.1,
        max_attempts: int = 6,
        max_outage_s: float = 7200.0,
        limits: Limits | None = None,
        throttling: Throttling | None = None,
        seed: int = 0,
    ) -> None:
        self.client = ScriptedClient(script, latency_s=latency_s)
        self.rows = [Row(index, {}) for index in range(rows)] if isinstance(rows, int) else rows
        self.results: dict[int, Result] = {}
        self.kept: list[int] = []  # rows in the order of their results
        self.bills: list[Unfinished] = []  # noted at once, of rows without a result
        self.reason: StopsRun | None = None
        self.said: list[str] = []
        self.health = Health(max_outage_s=max_outage_s)
        self.intake: Intake[Attempts] = Intake(most_parked=4000)
        self.turns = [Turn(row, Attempts(), Bill("CROWN")) for row in self.rows]
        self.workers = workers
        self.tasks: list[asyncio.Task[None]] = []
        self.lanes = Lanes(limits or Limits(None, None), throttling)
        self.asking = Asking(
            intake=self.intake,
            fill=fill,
            lanes=self.lanes,
            budget=None,
            health=self.health,
            client=self.client,
            policy=RetryPolicy(max_attempts, random.Random(seed)),
            prices=Prices(),
            usual_model="qwen-plus",
            dashscope=True,
            keep=self.keep,
            keep_bill=self.keep_bill,
            stop=self.stop,
            say=self.said.append,
        )

    async def keep(self, result: Result) -> None:
        """Take a result; a row may have one only."""
        assert result.row not in self.results
        self.results[result.row] = result
        self.kept.append(result.row)

    async def keep_bill(self, bill: Unfinished) -> None:
        """Take the bill of a row without a result."""
        assert bill.row not in self.results
        self.bills.append(bill)

    def stop(self, reason: StopsRun) -> None:
        """Stop as a Course does."""
        if self.reason is None:
            self.reason = reason
            self.asking.close()

    def start(self) -> None:
        """Let the workers begin; the reader has not read everything yet."""
        self.intake.add(self.turns)
        self.tasks = [asyncio.create_task(self.asking.work()) for _ in range(self.workers)]

    async def all_read(self) -> None:
        """Tell that there are no more rows."""
        self.intake.end()
        await self.asking.all_read()

    async def end(self) -> None:
        """Wait for the workers."""
        await asyncio.gather(*self.tasks)
        assert self.asking.in_flight == 0

    async def run(self) -> Pool:
        """From the first row to the end."""
        self.start()
        await self.all_read()
        await self.end()
        return self

    @property
    def errors(self) -> Counter[str | None]:
        """How many rows ended how; None: with an answer."""
        return Counter(result.error_type for result in self.results.values())

    @property
    def pending(self) -> set[int]:
        """Rows without a result."""
        return {row.index for row in self.rows} - self.results.keys()
