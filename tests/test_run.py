"""A course from the dataset to the sink, against a stand-in server in the same loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from clock import on_fake_clock
from scripted_client import Asked, ScriptedClient, Step, refused, reply
from small_runs import provider, question, write_csv, write_parquet

from runner.connection import connect
from runner.control import Wanted
from runner.dataset import MAX_ROWS
from runner.errors import DatasetError, Interrupted, MachineFault, ProviderStopped
from runner.job import Job
from runner.preflight import prepare
from runner.records import Result
from runner.run import Course
from runner.simulator import Scenario, answer_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from small_runs import Provider

    from runner.client import Client
    from runner.dataset import Batch
    from runner.records import Reply, Request, Row, Unfinished


@dataclass
class Basket:
    """A sink that keeps results in a dict. `trouble` may raise, or wait, for each of them."""

    trouble: Callable[[Result], None] = lambda _: None
    fails_working: Exception | None = None
    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    earlier: dict[int, Result] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)
    bills: dict[int, Unfinished] = field(default_factory=dict)
    ended_at: int | None = None
    batches: int = 0
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.has_room.set()

    def spans(self, end: int | None) -> list[range]:
        return [range(10**9 if end is None else end)]

    async def wait_for_room(self, workers: int) -> None:
        del workers
        await self.has_room.wait()

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        del end
        self.batches += 1
        return batch.rows

    def before(self, row: int) -> Result | None:
        return self.earlier.get(row)

    def end(self, rows: int) -> int:
        self.ended_at = rows
        return rows

    async def keep(self, result: Result) -> None:
        self.trouble(result)
        assert result.row not in self.results
        self.results[result.row] = result

    async def keep_bill(self, bill: Unfinished) -> None:
        self.bills[bill.row] = bill

    async def work(self) -> None:
        if self.fails_working is not None:
            async with asyncio.TaskGroup() as tasks:  # as deep as a real one's
                tasks.create_task(self._fail(self.fails_working))
        await self._closed.wait()

    async def _fail(self, error: Exception) -> None:
        while len(self.results) < 5:  # noqa: ASYNC110 - keeping is no event
            await asyncio.sleep(0.001)
        raise error

    def close(self) -> None:
        self._closed.set()


class Watched:
    """A client that notes how many attempts are on their way."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.in_flight = 0
        self.most = 0

    async def send(self, request: Request, leaves: Callable[[], None]) -> Reply:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await self._client.send(request, leaves)
        finally:
            self.in_flight -= 1


@dataclass
class Trip:
    """A course with all that belongs to it."""

    course: Course
    basket: Basket
    client: Watched
    said: list[str]


@asynccontextmanager
async def trip(
    at: Provider,
    path: str,
    basket: Basket | None = None,
    *,
    rows_from: Callable[[], Iterator[Batch]] | None = None,
    fill: Callable[[Row], Request] | None = None,
    known_length: bool = True,
    **settings: Any,
) -> AsyncIterator[Trip]:
    flight = prepare(at.job(**settings), [path])
    if not known_length:
        flight = replace(flight, total_rows=None)
    if rows_from is not None:
        dataset = flight.dataset
        dataset.batches = lambda **_: rows_from()  # type: ignore[method-assign]  # a broken file
    basket, said = basket or Basket(), list[str]()
    async with connect(flight, flight.read_key()) as client:
        watched = Watched(client)
        course = Course(
            flight,
            basket,
            watched,  # type: ignore[arg-type]  # it sends, which is all that is asked of it
            fill=fill or flight.template.fill,
            columns=flight.template.columns,
            budget=None,
            say=said.append,
        )
        yield Trip(course, basket, watched, said)
    assert "penstock-read" not in {
        thread.name.rpartition("_")[0] for thread in threading.enumerate()
    }


def expected(row: int) -> str:
    return str(answer_to([{"role": "user", "content": question(row)}]))


async def until_arrived(at: Provider, requests: int) -> None:
    while at.arrived < requests:  # noqa: ASYNC110 - the server's count is no event
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
async def test_every_row_gets_its_own_answer_and_workers_bound_what_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write = {"csv": write_csv, "parquet": write_parquet}[kind]
    path = write(tmp_path / f"d.{kind}", 3000)
    async with provider(monkeypatch) as at, trip(at, path, limits={"concurrency": 7}) as t:
        await t.course.go()
        assert at.requests == 3000
    assert {row: one.completion for row, one in t.basket.results.items()} == {
        row: expected(row) for row in range(3000)
    }
    assert t.client.most == 7
    assert t.course.rows == 3000
    assert t.course.reason is None


async def test_a_dataset_of_unknown_length_is_measured_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 1500)
    async with provider(monkeypatch) as at, trip(at, path, known_length=False) as t:
        before = t.course.rows
        await t.course.go()
    assert before is None
    assert t.course.rows == t.basket.ended_at == 1500
    assert len(t.basket.results) == 1500


async def test_with_first_no_more_rows_are_read_or_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 5000)
    async with provider(monkeypatch) as at, trip(at, path, first=12) as t:
        await t.course.go()
        assert at.requests == 12
    assert sorted(t.basket.results) == list(range(12))
    assert t.basket.batches == 1
    assert t.course.rows == 12


async def test_a_bad_day_leaves_no_row_without_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.retry.SHORTEST_WAIT_S", 0.01)
    path = write_csv(tmp_path / "d.csv", 300)
    errors = (("limit_requests", 0.1), ("server_error", 0.05), ("overloaded", 0.05))
    async with (
        provider(monkeypatch, errors=errors) as at,
        trip(at, path, limits={"concurrency": 50}) as t,
    ):
        await t.course.go()
    assert {row: one.completion for row, one in t.basket.results.items()} == {
        row: expected(row) for row in range(300)
    }
    assert sum(one.attempts for one in t.basket.results.values()) == at.arrived


async def test_a_stop_lets_land_what_is_on_its_way_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 500)
    async with provider(monkeypatch, latency_s=(0.2, 0.2)) as at, trip(at, path) as t:
        going = asyncio.create_task(t.course.go())
        await until_arrived(at, 4)
        t.course.stop(reason := Interrupted("enough"))
        t.course.stop(Interrupted("the first one counts"))
        await going
        assert at.requests == 4
    assert len(t.basket.results) == 4
    assert t.course.reason is reason
    assert t.said == ["Stopping: 4 replies are on the way; waiting for up to 30 s."]


@pytest.mark.parametrize("how", ["asked twice", "waited long enough"])
async def test_replies_that_do_not_come_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = write_csv(tmp_path / "d.csv", 500)
    limits = {"concurrency": 4, "drain_s": 0.05 if how == "waited long enough" else 1000}
    slow = provider(monkeypatch, latency_s=(600, 600))
    async with slow as at, trip(at, path, limits=limits) as t:
        going = asyncio.create_task(t.course.go())
        await until_arrived(at, 4)
        t.course.stop(Interrupted("enough"))
        if how == "asked twice":
            t.course.stop_now()
        async with asyncio.timeout(20):
            await going
    assert t.basket.results == {}
    assert t.course.asking.in_flight == 0
    bills = t.basket.bills.values()
    assert [(bill.attempts, bill.unmetered_attempts) for bill in bills] == [(1, 1)] * 4


async def test_a_stop_before_it_goes_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 500)
    async with provider(monkeypatch) as at, trip(at, path) as t:
        t.course.stop(Interrupted("never mind"))
        await t.course.go()
        assert at.requests == 0
    assert t.said == []


async def test_the_provider_s_refusal_stops_it_and_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario.build({"rule": [{"request": [30, 10**6], "answer": "arrearage"}]})
    path = write_csv(tmp_path / "d.csv", 500)
    async with provider(monkeypatch, scenario=scenario) as at, trip(at, path) as t:
        await t.course.go()
        assert at.requests <= 29 + 4
    assert isinstance(t.course.reason, ProviderStopped)
    assert len(t.basket.results) == 29


async def test_a_result_that_cannot_be_kept_stops_everything_at_once_and_is_raised_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = MachineFault("the disk is full")

    def fail(result: Result) -> None:
        if result.row >= 20:
            raise fault

    path = write_csv(tmp_path / "d.csv", 500)
    async with provider(monkeypatch) as at, trip(at, path, Basket(trouble=fail)) as t:
        with pytest.raises(MachineFault) as raised:
            await t.course.go()
        sent = at.arrived
        await asyncio.sleep(0.05)
        assert at.arrived == sent < 30
    assert raised.value is fault


@pytest.mark.parametrize("fault", [MachineFault("fsync failed"), ZeroDivisionError("a bug")])
async def test_what_goes_wrong_while_keeping_is_raised_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    path = write_csv(tmp_path / "d.csv", 5000)
    async with provider(monkeypatch) as at, trip(at, path, Basket(fails_working=fault)) as t:
        with pytest.raises(type(fault)) as raised:
            await t.course.go()
    assert raised.value is fault
    assert len(t.basket.results) < 5000


async def test_so_is_a_defect_in_making_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(row: Row) -> Request:
        raise ZeroDivisionError(row.index)

    path = write_csv(tmp_path / "d.csv", 50)
    async with provider(monkeypatch) as at, trip(at, path, fill=fill) as t:
        with pytest.raises(ZeroDivisionError):
            await t.course.go()
        assert at.requests == 0


@pytest.mark.parametrize("fault", [MachineFault("cut off at row 1500"), DatasetError("no rows")])
async def test_a_file_that_fails_in_the_middle_stops_it_after_what_is_on_its_way_has_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    path = write_csv(tmp_path / "d.csv", 3000)
    closed = threading.Event()
    async with provider(monkeypatch, latency_s=(0.05, 0.05)) as at:
        whole = list(
            prepare(at.job(), [path]).dataset.batches(
                columns=("text",), keep=("id", "text"), spans=[range(3000)]
            )
        )

        def broken() -> Iterator[Batch]:
            try:
                yield whole[0]
                raise fault
            finally:
                closed.set()

        async with trip(at, path, rows_from=broken, limits={"concurrency": 64}) as t:
            await t.course.go()
            assert len(t.basket.results) == at.requests > 0
    assert t.course.reason is fault
    assert closed.is_set()


async def test_reading_that_fails_unseen_after_a_stop_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 3000)
    untold: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: untold.append(context))
    async with provider(monkeypatch, latency_s=(0.05, 0.05)) as at:
        whole = list(
            prepare(at.job(), [path]).dataset.batches(
                columns=("text",), keep=("id", "text"), spans=[range(3000)]
            )
        )

        def broken() -> Iterator[Batch]:
            yield from whole[:1]
            raise MachineFault("read ahead, and nobody waits for it")

        basket = Basket()
        basket.has_room.clear()
        async with trip(at, path, basket, rows_from=broken) as t:
            going = asyncio.create_task(t.course.go())
            await asyncio.sleep(0.05)
            t.course.stop(Interrupted("enough"))
            await going
    del going, t
    gc.collect()
    assert untold == []


async def test_reading_waits_for_the_sink_and_for_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 20_000)
    async with provider(monkeypatch, latency_s=(600, 600)) as at, trip(at, path) as t:
        going = asyncio.create_task(t.course.go())
        await until_arrived(at, 4)
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert t.basket.batches <= 2
        t.course.stop(Interrupted("enough"))
        t.course.stop_now()
        await going


async def test_a_row_asked_again_brings_its_bill_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Result(
        row=1, key="", attempts=3, prompt_tokens=10, completion_tokens=5, total_tokens=15,
        cost=0.5, currency="USD", error_type="timeout", unmetered_attempts=2,
    )  # fmt: skip
    path = write_csv(tmp_path / "d.csv", 3)
    async with provider(monkeypatch) as at, trip(at, path, Basket(earlier={1: before})) as t:
        await t.course.go()
    again, usual = t.basket.results[1], t.basket.results[0]
    assert (again.attempts, again.unmetered_attempts) == (4, 2)
    assert (again.prompt_tokens or 0) > (usual.prompt_tokens or 0)
    assert again.error_type is None


async def test_the_pace_and_the_ramp_are_those_of_the_preflight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "d.csv", 31)
    async with provider(monkeypatch, qps=100) as at:
        limits = {"qps": 100, "concurrency": 31}
        async with trip(at, path, limits=limits) as t:
            loop = asyncio.get_running_loop()
            start_s = loop.time()
            await t.course.go()
            took_s = loop.time() - start_s
    assert took_s >= 30 / 100
    assert {one.attempts for one in t.basket.results.values()} == {1}


class RoomyClient(ScriptedClient):
    """One that has room for any number at once."""

    def make_room_for(self, concurrency: int) -> None:
        del concurrency

    def room_for(self, concurrency: int) -> int:
        return concurrency


async def test_rows_come_for_all_workers_in_a_turn_of_the_event_loop(tmp_path: Path) -> None:
    # Each turn answers all that was asked in the turn before, so that only what reading brings in
    # one turn is ever on its way.
    workers, rows = 4 * MAX_ROWS, 20 * MAX_ROWS
    limits = {"concurrency": workers}
    settings = {"prompt": "{{ text }}", "model": "m", "base_url": "http://x/v1", "limits": limits}
    flight = prepare(Job.build(settings), [write_parquet(tmp_path / "d.parquet", rows)])
    client, basket = RoomyClient(lambda _: reply(), latency_s=0), Basket()
    course = Course(
        flight, basket, client, fill=flight.template.fill, columns=flight.template.columns,
        budget=None, say=lambda _: None,
    )  # fmt: skip
    await course.go()
    assert len(basket.results) == rows
    assert client.most_in_flight > 3 * MAX_ROWS


@pytest.mark.parametrize(("workers", "wanted"), [(20, 1), (20, 19), (2, 20)])
def test_workers_that_come_or_go_while_an_outage_is_probed_disturb_no_probe(
    tmp_path: Path, workers: int, wanted: int
) -> None:
    path, basket = write_csv(tmp_path / "d.csv", 200), Basket()
    ends_s, latency_s = 60.0, 0.5

    def script(asked: Asked) -> Step:
        return refused() if asked.at_s < ends_s else reply()

    async def work() -> tuple[RoomyClient, int]:
        limits = {"concurrency": workers, "qps": 1000}
        job = Job.build({"prompt": "{{ text }}", "model": "qwen-plus", "limits": limits})
        flight = prepare(job, [path])
        client = RoomyClient(script, latency_s=latency_s)
        course = Course(
            flight, basket, client, fill=flight.template.fill, columns=flight.template.columns,
            budget=None, say=lambda _: None,
        )  # fmt: skip
        going = asyncio.create_task(course.go())
        for in_flight in (0, 1):  # all are told of the outage, then one of them probes
            while not (  # noqa: ASYNC110 - it is no event
                course.health.is_outage and client.in_flight == in_flight
            ):
                await asyncio.sleep(0.01)
        probe = len(client.sent)
        course.change(Wanted(workers=wanted))
        client.most_in_flight = client.in_flight
        async with asyncio.timeout(600):  # the clock would go on for ever without an answer
            await going
        return client, probe

    client, probe = on_fake_clock(work)
    assert len(basket.results) == 200
    assert not any(one.unmetered_attempts for one in basket.results.values())
    probed_s = [asked.at_s for asked in client.sent[probe - 1 :] if asked.at_s < ends_s]
    assert len(probed_s) > 5
    gaps_s = [after - before for before, after in pairwise(probed_s)]
    assert all(latency_s + 1 < gap_s < latency_s + 11 for gap_s in gaps_s)
    assert client.most_in_flight == wanted
