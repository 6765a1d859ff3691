"""How would the whole run go? The run itself, on a simulated clock, against a stand-in provider.

Everything between a row and its result is the real thing: template, limits, retries, throttling,
workers. What stands in is the provider, whose limits are those of the tables, and the clock, which
jumps to the next moment at which something happens. Nothing is sent and nothing is written.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from runner.deadline import stop_at
from runner.estimate import LEAST, PromptReader, answer_seconds
from runner.preflight import prepare
from runner.rehearsal_answers import Asked, as_measured, assumed
from runner.rehearsal_watch import PARTS, Watch
from runner.rehearsed import Rehearsal
from runner.run import Course
from runner.simulated_clock import run_simulated
from runner.simulator import InProcess, SimulatorSettings
from runner.together import together
from runner.tokens import load_tokenizer, prompt_tokens
from runner.worst_case import choices_of, most_completion_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.estimate import Estimate, Measured, ModelEstimate
    from runner.job import Job
    from runner.preflight import Preflight
    from runner.records import Request
    from runner.simulator import Planned
    from runner.tally import Tally

# Rows that are rehearsed one by one, about two minutes of work; the rest follows from their pace.
MOST_ROWS: Final = 1_000_000


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

    Where that was measured, answers are those that were measured, and rows with a result are not
    asked again. At most `most_rows` are rehearsed, the first ones; time and cost of the rest follow
    from them. `latency_s` is every answer's, where somebody knows; prices are of 1,000,000 tokens.
    Of several models the first is rehearsed. Blocking. Raises JobError and DatasetError.
    """
    found, measured = estimated.models[0], estimated.measured
    before = measured if measured is not None and measured.is_part else None
    left = rows_left(() if before is None else before.rows, estimated.rows)
    spans = first_of(left, most_rows)
    changes: dict[str, Any] = {"first": spans[-1].stop if spans else 1}
    if job.model is not None:
        changes["model"] = found.model
    flight = prepare(job.model_copy(update=changes), paths, providers_file=providers_file)
    counting = load_tokenizer(tokenizer, family=flight.facts.tokenizer)
    answer = _mean_answer(found, estimated.requests, None if before is None else before.tally)

    reader = PromptReader()

    def read(request: Request) -> Asked:
        body = orjson.loads(request.body)
        most = most_completion_tokens(body, flight.facts_of(request.model))
        kind = reader.read(request).kind
        return Asked(prompt_tokens(body, counting), choices_of(body), most, kind)

    async def go() -> Rehearsal:
        began_s = time.monotonic()
        client = InProcess(
            lambda model: _limits_of(flight, model),
            plan=_plan(read, measured, mean_tokens=answer, latency_s=latency_s),
        )
        watch = Watch(
            spans, client, on_progress or _unheard, before=None if before is None else before.tally
        )
        course = Course(
            flight, watch, client, fill=flight.template.fill, columns=flight.template.columns,
            budget=watch.limit(flight), say=lambda _: None,
        )  # fmt: skip
        watch.belongs_to(course)
        async with together() as beside:
            others = [beside.create_task(watch.look(course))]
            if (deadline := flight.job.limits.deadline) is not None:
                others.append(beside.create_task(stop_at(deadline, watch.stop, now=_clock())))
            try:
                await course.go()
            finally:
                for task in others:
                    task.cancel()
        watch.end_stretch()
        if price_input is not None and price_output is not None:
            watch.bill(price_input, price_output)
        stopped = None if course.reason is None else str(course.reason)
        took_s = time.monotonic() - began_s
        return _sum_up(flight, watch, estimated, sum(map(len, left)), answer, stopped, took_s)

    return run_simulated(go)


def rows_left(done: Sequence[range], rows: int) -> list[range]:
    """The rows of the first `rows` that are not `done`, whose spans are in order."""
    left, at = [], 0
    for span in (*done, range(rows, rows)):
        stop = min(span.start, rows)
        if at < stop:
            left.append(range(at, stop))
        at = max(at, span.stop)
    return left


def first_of(spans: Sequence[range], most: int) -> list[range]:
    """The first `most` rows of the spans."""
    first = []
    for span in spans:
        first.append(span[:most])
        most -= len(first[-1])
        if not most:
            break
    return first


def _mean_answer(found: ModelEstimate, requests: float, done: Tally | None) -> float:
    """Completion tokens of a request that is left, in the middle of the range."""
    if done is None or requests - found.done < 1:
        return found.output_per_request.middle
    left = found.completion_tokens.middle - done.completion_tokens
    return max(1.0, left / (requests - found.done))


def _plan(
    read: Callable[[Request], Asked],
    measured: Measured | None,
    *,
    mean_tokens: float,
    latency_s: float | None,
) -> Callable[[Request], Planned]:
    """What the stand-in answers."""
    answers = [] if measured is None else [one for one in measured.answers if one.latency_s]
    if len(answers) >= LEAST:
        return as_measured(read, answers, mean_tokens=mean_tokens, latency_s=latency_s)
    return assumed(
        read,
        mean_tokens=mean_tokens,
        answer_s=lambda tokens: latency_s or answer_seconds(tokens),
    )


def _clock() -> Callable[[], datetime]:
    """The wall clock, as it will stand after as many seconds as the simulated one has run."""
    began, loop = datetime.now(UTC), asyncio.get_running_loop()
    began_s = loop.time()
    return lambda: began + timedelta(seconds=loop.time() - began_s)


def _limits_of(flight: Preflight, model: str) -> SimulatorSettings:
    """What the provider's table allows the account; RPM is enforced by the second as well."""
    facts = flight.facts_of(model)
    return SimulatorSettings(qps=facts.rpm and facts.rpm / 60, rpm=facts.rpm, tpm=facts.tpm)


def _sum_up(
    flight: Preflight,
    watch: Watch,
    estimated: Estimate,
    of_rows: int,
    answer_tokens: float,
    stopped: str | None,
    took_s: float,
) -> Rehearsal:
    whole = seconds = watch.last_s - watch.start_s
    scale = 1.0
    if stopped is None and 0 < watch.rows < of_rows:
        scale = of_rows / watch.rows
        # By the second half, which neither the climb of the pace nor the last answers distort.
        steady = watch.stretches[PARTS // 2 : -1] or watch.stretches
        pace = sum(one.rows for one in steady) / sum(one.seconds for one in steady)
        whole += (of_rows - watch.rows) / pace
    cost = None if watch.unpriced else watch.cost * scale
    return Rehearsal(
        model=flight.facts.name,
        rows=watch.rows,
        of_rows=of_rows,
        done=estimated.rows - of_rows,
        rehearsed_s=seconds,
        seconds=whole,
        attempts=watch.client.asked,
        throttled=watch.client.throttled,
        failed=watch.failed,
        prompt_tokens=round(watch.prompt_tokens * scale),
        completion_tokens=round(watch.completion_tokens * scale),
        cost=cost,
        currency=watch.currency,
        answer_tokens=answer_tokens,
        measured=None if estimated.measured is None else estimated.measured.run,
        stretches=tuple(watch.stretches),
        stopped=stopped,
        took_s=took_s,
    )


def _unheard(rows: int, of: int | None) -> None:
    del rows, of
