"""The order of a row's way, and nothing else. Read this file first.

    row      dataset      in order, bounded; blocks already sealed are skipped
    turn     intake       whose turn is it: new rows, and parked ones whose time has come
    request  template     Row -> Request, checked before any money is spent
    admit    health       in an outage everybody waits and one probes
             spending     the worst case fits into the budget: waits here, never later
             limits       tokens and pace: likewise
    reply    client       one HTTP call -> Reply, or one of our errors
             throttling   is everybody too fast? then the pace gives way for a while
             verdict      of an error: try again, fail the row, or stop the run
             setbacks     its own fault or everybody's? parks, fails or holds the row, or stops
             retry        when to ask again; a parked row frees its worker and pays the limits again
    result   bill         success or final failure; never a missing row
    journal  journal      on disk before it counts
    seal     seals        complete block -> one part, atomic rename, dataset order

`asking` holds the way from a turn to its result, `keeping` from the result to its part.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from runner.asking import Asking, Sender
from runner.bill import Bill
from runner.binding import Standing, binding
from runner.counted import counted
from runner.crew import Crew
from runner.endpoint_prices import Prices
from runner.errors import StopsRun
from runner.health import Health
from runner.intake import Intake, Turn
from runner.lanes import Lanes
from runner.retry import Attempts, RetryPolicy
from runner.sizing import MOST, Sizing
from runner.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.asking import Purse
    from runner.control import Wanted
    from runner.dataset import Batch
    from runner.preflight import Preflight
    from runner.records import Request, Result, Row, Unfinished

_Limit = TypeVar("_Limit", int, float)

# Rows parked for a retry before no new ones are begun: enough for a provider that refuses half of
# what it is asked, few enough to hold in memory.
_PARKED_PER_WORKER = 8
_LEAST_PARKED = 4000
_SIZING_S = 0.5


class Sink(Protocol):
    """Where results go: `keeping.Keeping` for a run folder, `handing.Handing` for an iterator."""

    def spans(self, end: int | None) -> list[range]:
        """The rows to read."""
        ...

    async def wait_for_room(self, workers: int) -> None:
        """Return when another batch may be taken, where so many workers want rows."""
        ...

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        """The rows of a batch that are to be asked."""
        ...

    def before(self, row: int) -> Result | Unfinished | None:
        """What a row was billed before, with a result that is asked again or without one."""
        ...

    def end(self, rows: int) -> int:
        """The dataset or the scope ends at `rows`, or where earlier runs have been; that place."""
        ...

    async def keep(self, result: Result) -> None:
        """Take over a result."""
        ...

    async def keep_bill(self, bill: Unfinished) -> None:
        """Take over what a row has cost that has no result yet."""
        ...

    async def work(self) -> None:
        """Whatever keeping needs, until `close`."""
        ...

    def close(self) -> None:
        """No more results will come."""
        ...


class Provider(Sender, Protocol):
    """Whom to ask: `runner.client.Client`, or the stand-in of a rehearsal."""

    def make_room_for(self, concurrency: int) -> None:
        """Get ready for so many at once. Raises JobError when the system forbids it."""
        ...

    def room_for(self, concurrency: int) -> int:
        """How many at once are possible, up to so many."""
        ...


class Course:
    """One process's work on a job: read, ask and keep until all is done or something stops it."""

    def __init__(
        self,
        flight: Preflight,
        sink: Sink,
        client: Provider,
        *,
        fill: Callable[[Row], Request],
        columns: frozenset[str],
        budget: Purse | None,
        say: Callable[[str], None],
        lost: Callable[[Request], None] = lambda _: None,  # as `asking` tells it
    ) -> None:
        self._flight = flight
        self._sink = sink
        self._client = client
        self._budget = budget
        self._say = say
        self._columns = columns
        self._loop = asyncio.get_running_loop()
        self._crew: Crew | None = None
        self._workers = flight.limits.workers  # as many as are wanted
        self._sizing = self._auto() if flight.limits.auto else None
        self._giving_up: asyncio.TimerHandle | None = None
        self._prices = Prices(flight.facts_of, flight.facts.name, flight.job.params)
        self.reason: StopsRun | None = None  # why it stopped before the end
        limits, settings = flight.limits, flight.job.limits
        self.rows = flight.rows  # in scope; None until the dataset has been read to its end
        self.health = Health(max_outage_s=settings.max_outage_s)
        self.intake: Intake[Attempts] = Intake(
            most_parked=max(_LEAST_PARKED, limits.workers * _PARKED_PER_WORKER)
        )
        # The part of them that is this run's may change, and so may they.
        self.lanes = Lanes.of_run(limits, flight.own_limits)
        self.asking = Asking(
            intake=self.intake,
            fill=fill,
            lanes=self.lanes,
            budget=budget,
            health=self.health,
            client=client,
            policy=RetryPolicy(settings.max_attempts),
            prices=self._prices,
            usual_model=flight.facts.name,
            dashscope=flight.dashscope,
            keep=sink.keep,
            keep_bill=sink.keep_bill,
            stop=self.stop,
            say=say,
            lost=lost,
        )

    async def go(self) -> None:
        """Work until there is nothing left or `stop` was called; `reason` tells which.

        Raises MachineFault when a result could not be kept: nothing is sent after that.
        """
        try:
            async with together() as tasks:
                keeping = tasks.create_task(self._sink.work())
                reading = tasks.create_task(self._read())
                self._crew = Crew(tasks, self.asking.work)
                self._crew.resize(self._workers)
                sizing = tasks.create_task(self._keep_sizing())
                await self._crew.wait()
                sizing.cancel()
                reading.cancel()
                for bill in self.asking.unfinished():
                    await self._sink.keep_bill(bill)
                self._sink.close()
                await keeping
        finally:
            if self._giving_up is not None:
                self._giving_up.cancel()

    def stop(self, reason: StopsRun) -> None:
        """Begin nothing more and let the replies on their way land, for as long as drain_s."""
        if self.reason is not None:
            return
        self.reason = reason
        self.asking.close()
        drain_s = self._flight.job.limits.drain_s
        if self.asking.in_flight:
            replies = counted(self.asking.in_flight, "reply is", "replies are")
            self._say(f"Stopping: {replies} on the way; waiting for up to {drain_s:.0f} s.")
        self._giving_up = self._loop.call_later(drain_s, self.stop_now)

    def stop_now(self) -> None:
        """Give up the replies on their way; they will be asked again."""
        if self._crew is not None:
            self._crew.cancel()

    def change(self, wanted: Wanted) -> None:
        """Other limits from now on; nothing changes in a run that is stopping.

        Raises JobError where this machine does not allow so many workers; all is as before then.
        """
        if self.reason is not None:
            return
        if isinstance(wanted.workers, int):
            self._client.make_room_for(wanted.workers)
        if wanted.per_second is not None:
            self.lanes.set_pace(_given(wanted.per_second))
        if wanted.tokens_per_minute is not None:
            self.lanes.set_tokens(_given(wanted.tokens_per_minute))
        if wanted.workers == "auto":
            self._sizing = self._sizing or self._auto()
        elif wanted.workers is not None:
            self._resize(wanted.workers)
            self._sizing = None
        if wanted.paused is True:
            self.asking.pause()
        elif wanted.paused is False:
            self.asking.go_on()

    def _auto(self) -> Sizing:
        ceiling = self._client.room_for(MOST)
        return Sizing(self._loop.time(), first=self._workers, ceiling=ceiling)

    async def _keep_sizing(self) -> None:
        """With --concurrency auto, more or fewer workers by what they bring."""
        while True:
            await asyncio.sleep(_SIZING_S)
            if self._sizing is None or self.reason is not None:
                continue
            asking = self.asking
            size = self._sizing.look(
                self._loop.time(),
                ended=asking.ended,
                throttles=asking.throttles,
                limited_by=self.limited_by(),
            )
            if size != self._workers:
                self._resize(size)

    def _resize(self, workers: int) -> None:
        self._client.make_room_for(workers)
        self._workers = workers
        self.intake.most_parked = max(_LEAST_PARKED, workers * _PARKED_PER_WORKER)
        if self._crew is not None:
            self._crew.resize(workers)

    def limited_by(self) -> str:
        """Which limit binds now; `runner.binding` lists them."""
        asking, intake, lanes = self.asking, self.intake, self.lanes
        return binding(
            Standing(
                outage=self.health.is_outage,
                at_pace=lanes.at_pace,
                slowed=lanes.slowed,
                at_tokens=lanes.at_tokens,
                at_budget=self._budget.waiting if self._budget is not None else 0,
                idle=intake.idle,
                all_read=intake.last_turns is not None,
                parked=intake.parked,
                throttled=asking.throttled_lately,
            )
        )

    def holding(self) -> dict[str, Any]:
        """The limits that hold now, for the summary."""
        return {**self.lanes.to_json(), "concurrency": self._workers}

    async def _read(self) -> None:
        flight = self._flight
        batches = flight.dataset.batches(
            columns=self._columns, keep=flight.inputs.names, spans=self._sink.spans(flight.end)
        )
        with ThreadPoolExecutor(1, thread_name_prefix="penstock-read") as thread:
            try:
                await self._hand_over(batches, thread)
            except StopsRun as fault:
                self.stop(fault)  # what is on its way has been paid for
            finally:
                # The generator may still be running there; it is closed where it runs.
                await asyncio.shield(self._loop.run_in_executor(thread, _close, batches))

    async def _hand_over(self, batches: Iterator[Batch], thread: ThreadPoolExecutor) -> None:
        """Move batches from the reading thread into the sink and the intake, one ahead."""
        ahead = self._read_ahead(batches, thread)
        last_row = 0
        while (batch := await ahead) is not None:
            ahead = self._read_ahead(batches, thread)
            await self._sink.wait_for_room(self._workers)
            last_row = batch.start + len(batch.rows)
            self.intake.add([self._turn(row) for row in self._sink.take(batch, self._flight.end)])
            await self.intake.wait_hungry()
        if self.rows is None:
            self.rows = self._sink.end(last_row)
        self.intake.end()
        await self.asking.all_read()

    def _read_ahead(
        self, batches: Iterator[Batch], thread: ThreadPoolExecutor
    ) -> asyncio.Future[Batch | None]:
        ahead = self._loop.run_in_executor(thread, _next, batches)
        # Looked at here too, since nobody waits for it any more once reading has been cancelled.
        ahead.add_done_callback(lambda done: done.cancelled() or done.exception())
        return ahead

    def _turn(self, row: Row) -> Turn[Attempts]:
        before = self._sink.before(row.index)
        currency = self._prices.currency
        bill = Bill(currency) if before is None else Bill.of(before, currency)
        return Turn(row, Attempts(), bill)


def _given(value: _Limit | Literal["none"]) -> _Limit | None:
    return None if value == "none" else value


def _next(batches: Iterator[Batch]) -> Batch | None:
    batch = next(batches, None)
    if batch is not None:
        _ = batch.rows  # made here rather than on the event loop
    return batch


def _close(batches: Iterator[Batch]) -> None:
    with suppress(AttributeError):
        batches.close()  # type: ignore[attr-defined]  # a generator has it
