"""How would the whole run go? The run itself, on a simulated clock, against a stand-in provider.

Everything between a row and its result is the real thing: template, limits, retries, throttling,
workers. What stands in is the provider, whose limits are those of the tables, and the clock, which
jumps to the next moment at which something happens. Nothing is sent and nothing is written.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from runner.estimate import answer_seconds
from runner.preflight import prepare
from runner.run import Course
from runner.simulated_clock import run_simulated
from runner.simulator import InProcess, SimulatorSettings
from runner.tokens import load_tokenizer, prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.dataset import Batch
    from runner.estimate import Estimate
    from runner.job import Job
    from runner.preflight import Preflight
    from runner.records import Request, Result, Row, Unfinished

# Rows that are rehearsed one by one, about two minutes of work; the rest follows from their pace.
MOST_ROWS: Final = 1_000_000
_PARTS: Final = 10
_LOOK_EVERY_S: Final = 1.0  # of simulated time: which limit binds?
_HEARD_EVERY_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Stretch:
    """A tenth of the rehearsed rows."""

    rows: int
    ends_s: float  # since the start of the run
    seconds: float
    throttled_share: float  # of the attempts that were made in it
    tokens_per_minute: float  # of the answers that ended in it, input and output
    limited_by: str  # what bound for most of it, a word of `binding`

    @property
    def rows_per_s(self) -> float:
        """The pace."""
        return self.rows / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Every figure."""
        return {
            "rows": self.rows,
            "ends_s": round(self.ends_s, 1),
            "rows_per_s": round(self.rows_per_s, 3),
            "throttled_share": round(self.throttled_share, 4),
            "tokens_per_minute": round(self.tokens_per_minute),
            "limited_by": self.limited_by,
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How a run went on the simulated clock. Made by `rehearse`, shown by the command."""

    model: str
    rows: int  # rehearsed, from the first on
    of_rows: int  # in the run
    rehearsed_s: float  # what they took, on the simulated clock
    seconds: float  # what all rows take, by the pace of the rehearsed ones
    attempts: int
    throttled: int  # of the attempts
    failed: int  # rows without an answer
    prompt_tokens: int  # of the rehearsed rows
    completion_tokens: int
    cost: float | None  # of all rows, by that of the rehearsed ones; None: a price is unknown
    currency: str | None
    answer_tokens: float  # the mean that was assumed
    stretches: tuple[Stretch, ...]
    stopped: str | None  # why the run stopped before its end
    took_s: float  # real time

    @property
    def speedup(self) -> float:
        """Simulated over real time."""
        return self.rehearsed_s / self.took_s if self.took_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """Every figure, JSON-ready."""
        return {
            "model": self.model,
            "rows": self.rows,
            "of_rows": self.of_rows,
            "rehearsed_s": round(self.rehearsed_s, 1),
            "time_s": round(self.seconds, 1),
            "attempts": self.attempts,
            "throttled": self.throttled,
            "failed": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
            "currency": self.currency,
            "answer_tokens": round(self.answer_tokens, 1),
            "course": [stretch.to_json() for stretch in self.stretches],
            "stopped": self.stopped,
            "speedup": round(self.speedup),
        }


def rehearse(
    job: Job,
    paths: Sequence[str],
    estimated: Estimate,
    *,
    tokenizer: str | None = None,
    price_input: float | None = None,
    price_output: float | None = None,
    latency_s: float | None = None,
    providers_file: str | None = None,
    most_rows: int = MOST_ROWS,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Rehearsal:
    """The run of `job`, with answers as long as `estimated` has them, in the middle of its range.

    At most `most_rows` are rehearsed, the first ones; time and cost of the rest follow from them.
    `latency_s` is an answer's, where it was measured; prices are of 1,000,000 tokens. Of several
    models the first is rehearsed. Blocking. Raises JobError and DatasetError.
    """
    found, first = estimated.models[0], min(estimated.rows, most_rows)
    changes: dict[str, Any] = {"first": first}
    if job.model is not None:
        changes["model"] = found.model
    flight = prepare(job.model_copy(update=changes), paths, providers_file=providers_file)
    counting = load_tokenizer(tokenizer, family=flight.facts.tokenizer)
    answer = found.output_per_request.middle

    def count(request: Request) -> int:
        return prompt_tokens(orjson.loads(request.body), counting)

    async def go() -> Rehearsal:
        began_s = time.monotonic()
        client = InProcess(
            lambda model: _limits_of(flight, model),
            prompt_tokens=count,
            mean_answer_tokens=answer,
            answer_s=lambda tokens: latency_s or answer_seconds(tokens),
        )
        watch = _Watch(first, client, on_progress or _unheard)
        course = Course(
            flight, watch, client, fill=flight.template.fill, columns=flight.template.columns,
            budget=None, say=lambda _: None,
        )  # fmt: skip
        watching = asyncio.create_task(watch.look(course))
        try:
            await course.go()
        finally:
            watching.cancel()
        if price_input is not None and price_output is not None:
            watch.bill(price_input, price_output)
        stopped = None if course.reason is None else str(course.reason)
        took_s = time.monotonic() - began_s
        return _sum_up(flight, watch, estimated.rows, answer, stopped, took_s)

    return run_simulated(go)


def _limits_of(flight: Preflight, model: str) -> SimulatorSettings:
    """What the provider's table allows the account; RPM is enforced by the second as well."""
    facts = flight.facts_of(model)
    return SimulatorSettings(qps=facts.rpm and facts.rpm / 60, rpm=facts.rpm, tpm=facts.tpm)


class _Watch:
    """The sink of a rehearsal: keeps sums, and how each tenth of the rows went."""

    def __init__(
        self, rows: int, client: InProcess, heard: Callable[[int, int | None], None]
    ) -> None:
        self._of, self.client, self._heard = rows, client, heard
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        self.start_s = self.last_s = self._loop.time()
        self._binding: Counter[str] = Counter()
        self._mark = (0, self.start_s, 0, 0, 0)  # rows, time, asked, throttled, tokens at the last
        self.stretches: list[Stretch] = []
        self.rows = self.failed = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.cost = 0.0
        self.currency: str | None = None
        self.unpriced = False

    def spans(self, end: int | None) -> list[range]:
        return [range(self._of if end is None else end)]

    async def wait_for_room(self, workers: int) -> None:
        """There is always room: nothing is kept."""
        del workers

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        del end
        return batch.rows

    def before(self, row: int) -> Result | None:
        del row
        return None

    def end(self, rows: int) -> int:
        return rows

    async def keep(self, result: Result) -> None:
        self.rows += 1
        self.last_s = self._loop.time()
        self.failed += result.failed
        self.prompt_tokens += result.prompt_tokens or 0
        self.completion_tokens += result.completion_tokens or 0
        self.unpriced |= result.cost is None and result.total_tokens is not None
        self.cost += result.cost or 0.0
        self.currency = self.currency or result.currency
        if self.rows >= self._of * (len(self.stretches) + 1) // _PARTS:
            self._end_stretch()
        if self.rows % _HEARD_EVERY_ROWS == 0:
            self._heard(self.rows, self._of)

    def _end_stretch(self) -> None:
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
        self.cost = (self.prompt_tokens * price_input + self.completion_tokens * price_output) / 1e6

    async def look(self, course: Course) -> None:
        """Note which limit binds, until cancelled."""
        while True:
            self._binding[course.limited_by()] += 1
            await asyncio.sleep(_LOOK_EVERY_S)

    async def keep_bill(self, bill: Unfinished) -> None:
        del bill

    async def work(self) -> None:
        await self._closed.wait()

    def close(self) -> None:
        self._closed.set()


def _sum_up(
    flight: Preflight,
    watch: _Watch,
    of_rows: int,
    answer_tokens: float,
    stopped: str | None,
    took_s: float,
) -> Rehearsal:
    seconds = watch.last_s - watch.start_s
    whole = seconds
    if 0 < watch.rows < of_rows:
        # By the second half, which neither the climb of the pace nor the last answers distort.
        steady = watch.stretches[_PARTS // 2 : -1] or watch.stretches
        pace = sum(one.rows for one in steady) / sum(one.seconds for one in steady)
        whole += (of_rows - watch.rows) / pace
    cost = None if watch.unpriced else watch.cost * of_rows / max(1, watch.rows)
    return Rehearsal(
        model=flight.facts.name,
        rows=watch.rows,
        of_rows=of_rows,
        rehearsed_s=seconds,
        seconds=whole,
        attempts=watch.client.asked,
        throttled=watch.client.throttled,
        failed=watch.failed,
        prompt_tokens=watch.prompt_tokens,
        completion_tokens=watch.completion_tokens,
        cost=cost,
        currency=watch.currency,
        answer_tokens=answer_tokens,
        stretches=tuple(watch.stretches),
        stopped=stopped,
        took_s=took_s,
    )


def _unheard(rows: int, of: int | None) -> None:
    del rows, of
