"""The half of a sink that is the same wherever nothing is kept on disk: a handing, a rehearsal."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from runner.conclusion import failures_allowed, too_many_failed
from runner.spending import Position, Spending
from runner.tally import Tally

if TYPE_CHECKING:
    from runner.dataset import Batch
    from runner.errors import BudgetReached
    from runner.preflight import Preflight
    from runner.records import Result, Row, Unfinished
    from runner.run import Course


class Unkept:
    """Every row that is read is asked. Each `keep` ends with `count`."""

    def __init__(self, before: Tally | None = None) -> None:
        """`before`: what counts for the limits already."""
        self._closed = asyncio.Event()
        self._tally = Tally()
        self._tally.merge(before or Tally())
        self._spending: Spending | None = None
        self._course: Course | None = None
        self._failed = self._tally.failed
        self._most_failed = float("inf")
        self._max_failed: str | None = None

    def limit(self, flight: Preflight) -> Spending | None:
        """The budget of the job; None: it has none. Raises JobError where it cannot be kept.

        It ends the course that this `belongs_to`, and so does the job's `max_failed`.
        """
        self._max_failed = flight.job.limits.max_failed
        self._allow(flight.rows)
        spending = Spending(
            flight,
            self._tally,
            lease_file=None,
            stop=self.stop,
            position=lambda: Position(self._tally.rows, None),
        )
        self._spending = spending if spending.is_limited else None
        return self._spending

    def _allow(self, rows: int | None) -> None:
        self._most_failed = failures_allowed(self._max_failed, rows, otherwise=float("inf"))

    def belongs_to(self, course: Course) -> None:
        """Learn which course it is that a limit may stop."""
        self._course = course

    def stop(self, reason: BudgetReached) -> None:
        """A limit of the user's is reached."""
        if self._course is not None:
            self._course.stop(reason)

    def count(self, result: Result) -> None:
        """Count a result that has been taken over: its bill is at no risk any more."""
        if self._spending is not None:
            self._tally.add(result)
            self._spending.landed()
        self._failed += result.failed
        if self._failed > self._most_failed:
            self.stop(too_many_failed(self._failed, self._max_failed))

    def spans(self, end: int | None) -> list[range]:
        """Everything in scope, unless the sink knows better."""
        return [range(sys.maxsize if end is None else end)]

    async def wait_for_room(self, workers: int) -> None:
        """Workers wait in `keep`; reading follows them."""
        del workers

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        """Every row is asked."""
        del end
        return batch.rows

    def before(self, row: int) -> None:
        """Nothing was asked before."""
        del row

    def end(self, rows: int) -> int:
        """As many rows as were read; only now a share of them means a number."""
        self._allow(rows)
        return rows

    async def keep_bill(self, bill: Unfinished) -> None:
        """Nobody waits for it."""
        self._tally.add_bill(bill)

    async def work(self) -> None:
        """Nothing to do but to wait for the end."""
        await self._closed.wait()

    def close(self) -> None:
        """No more results will come."""
        self._closed.set()
