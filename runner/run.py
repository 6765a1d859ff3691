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

`feeding` holds the way from the dataset to the intake, `asking` from a turn to its result,
`keeping` from the result to its part.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from runner.asking import Asking
from runner.binding import Standing, binding
from runner.counted import counted
from runner.crew import Crew
from runner.endpoint_prices import Prices
from runner.errors import StopsRun
from runner.feeding import Feeding
from runner.health import Health
from runner.intake import LOW_WATER_ROWS, Intake
from runner.lanes import Lanes
from runner.retry import RetryPolicy
from runner.sending import Sender
from runner.sizing import MOST, Sizing
from runner.together import together

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.asking import Purse
    from runner.control import Wanted
    from runner.preflight import Preflight
    from runner.records import Request, Row
    from runner.retry import Attempts
    from runner.sink import Sink

_Limit = TypeVar("_Limit", int, float)

# Rows parked for a retry before no new ones are begun: enough for a provider that refuses half of
# what it is asked, few enough to hold in memory.
_PARKED_PER_WORKER = 8
_LEAST_PARKED = 4000
_SIZING_S = 0.5


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
        tell: Callable[[], None] = lambda: None,  # on disk, where it stands; raises MachineFault
    ) -> None:
        self._flight = flight
        self._sink = sink
        self._client = client
        self._budget = budget
        self._say = say
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._crew: Crew | None = None
        self._workers = flight.limits.workers  # as many as are wanted
        self._sizing = self._auto() if flight.limits.auto else None
        self._giving_up: asyncio.TimerHandle | None = None
        self.reason: StopsRun | None = None  # why it stopped before the end
        limits, settings = flight.limits, flight.job.limits
        prices = Prices(flight.facts_of, flight.facts.name, flight.job.params)
        self.health = Health(max_outage_s=settings.max_outage_s)
        self.intake: Intake[Attempts] = Intake(
            most_parked=_most_parked(limits.workers), low_water=_low_water(limits.workers)
        )
        self._feeding = Feeding(
            flight,
            sink,
            self.intake,
            columns=columns,
            currency=prices.currency,
            workers=lambda: self._workers,
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
            prices=prices,
            usual_model=flight.facts.name,
            dashscope=flight.dashscope,
            keep=sink.keep,
            keep_bill=sink.keep_bill,
            stop=self.stop,
            say=say,
            lost=lost,
        )

    @property
    def rows(self) -> int | None:
        """Rows in scope; None until the dataset has been read to its end."""
        return self._feeding.rows

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
                await self.asking.keep_bills()
                self._sink.close()
                await keeping
        finally:
            if self._giving_up is not None:
                self._giving_up.cancel()

    async def _read(self) -> None:
        try:
            await self._feeding.feed()
        except StopsRun as fault:
            self.stop(fault)  # what is on its way has been paid for
        else:
            await self.asking.all_read()

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
        self.intake.most_parked = _most_parked(workers)
        self.intake.low_water = _low_water(workers)
        if self._crew is not None:
            self._crew.resize(workers)
            try:
                self._tell()  # before the new ones run: a kill may come before the next time
            except StopsRun as fault:
                self.stop(fault)

    @property
    def most_in_flight(self) -> int:
        """As many replies as can come to be on their way before this changes.

        It changes to more by other workers and by the end of a pause alone; that is told on disk
        before anything is sent, so that whoever finds a killed process's word knows the most.
        """
        if self.reason is not None or self.asking.paused:
            return self.asking.in_flight
        workers = self._crew.present if self._crew is not None else self._workers
        left = (self.rows, self.intake.last_turns)  # no row has two attempts on their way
        return min([workers, *(rows for rows in left if rows is not None)])

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


def _most_parked(workers: int) -> int:
    return max(_LEAST_PARKED, workers * _PARKED_PER_WORKER)


def _low_water(workers: int) -> int:
    return max(LOW_WATER_ROWS, workers)


def _given(value: _Limit | Literal["none"]) -> _Limit | None:
    return None if value == "none" else value
