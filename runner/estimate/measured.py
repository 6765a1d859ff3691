"""What has been measured already: the answers that a run holds, beside what was counted of them.

A pilot's rows are spread over the dataset; a run that is half done has its first ones, and another
dataset's run has others. All are better than an assumption, and each says which it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from runner.drift import same_dataset
from runner.estimate.prompt_reading import Kind
from runner.folder import run_folder_of
from runner.kept import Kept
from runner.reading import in_one_layout
from runner.records import Usage
from runner.tally import PICO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.estimate.prompt_census import Counting
    from runner.folder import RunFile
    from runner.job import Job
    from runner.preflight import Preflight
    from runner.records import Result, Row
    from runner.tally import Tally

# Answers looked at of a large run: their mean is then known to about 2 %.
_MOST = 5000
# All blocks of two million rows; of a larger run so many take some ten seconds to read.
_MOST_BLOCKS = 100
LEAST = 2  # with fewer answers nothing is known of how they differ
_ASKED = ("prompt", "system", "model", "params")


@dataclass(frozen=True, slots=True)
class Answer:
    """One row that was sent: what was counted before and what was billed in the end."""

    kind: Kind
    counted: int  # prompt tokens, as counted here
    usage: Usage  # of all attempts
    cost_pico: int | None  # in 1e-12 of the run's currency; None: its price was unknown
    latency_s: float | None  # of the attempt that succeeded; None: none did


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's answers. Made by `measure`, consumed by `measured_bill`."""

    run: str  # its name, as the user gave it
    model: str  # the job's
    answers: tuple[Answer, ...]
    tally: Tally  # of all of the run's results
    rows: tuple[range, ...]  # of its dataset, those with a result, in order
    of_dataset: bool  # whether that is the dataset that is estimated
    pilot: bool  # whether they are spread over it
    rehearsal: bool  # whether they were made up by the stand-in server

    def is_of(self, model: str | None) -> bool:
        """Whether this model gave the answers; None: whichever each row names."""
        return model in {None, self.model}

    @property
    def is_part(self) -> bool:
        """Whether these answers are real ones of the dataset that is estimated."""
        return self.of_dataset and not self.rehearsal

    @property
    def done(self) -> int:
        """Requests of the dataset that is estimated that have their answer already."""
        return self.tally.requests - self.tally.retries if self.is_part else 0

    @property
    def source(self) -> str:
        """In words, for the reader."""
        made_up = ", made up by the stand-in server" if self.rehearsal else ""
        if self.pilot:
            return (
                f"measured on {len(self.answers):,} rows of the pilot in {self.run}{made_up}; "
                f"holds in 90 of 100 cases"
            )
        where = "" if self.of_dataset else ", over another dataset"
        return (
            f"measured on {len(self.answers):,} answers in {self.run}{where}{made_up}; not drawn "
            f"at random, so a tenth wider either way"
        )

    def to_json(self) -> dict[str, Any]:
        """What the figures rest on."""
        return {
            "run": self.run,
            "model": self.model,
            "answers": self.tally.rows,
            "measured": len(self.answers),
            "of_dataset": self.of_dataset,
            "pilot": self.pilot,
            "rehearsal": self.rehearsal,
            "paid": None if self.rehearsal else self.tally.cost,
            "currency": self.tally.currency,
        }


def differences(run: RunFile, job: Job) -> list[str]:
    """What a run asks otherwise than this job, so that its answers tell nothing of this one's."""
    before, now = run.job.identity(), job.identity()
    return [name for name in _ASKED if before[name] != now[name]]


def measure(name: str, flight: Preflight, counting: Counting) -> Measured | None:
    """What the answers of the run `name` tell of the job in `flight`; None: there are too few.

    Raises MachineFault where they cannot be read.
    """
    folder, _ = run_folder_of(name)

    def measured(run: RunFile) -> Measured | None:
        return _measured(name, run, Kept(folder, run), flight, counting)

    return in_one_layout(folder, folder.read_run(), measured)


def _measured(
    name: str, run: RunFile, kept: Kept, flight: Preflight, counting: Counting
) -> Measured | None:
    of_dataset = same_dataset(run, flight.dataset)
    tally = kept.tally()
    looked_at = _spread(kept, tally.rows) if run.pilot is not None else _some(kept, tally.rows)
    results = {result.row: result for result in looked_at if result.attempts}
    if of_dataset:
        answers = _counted(results, flight, counting, made_up=run.rehearsal)
    else:
        kind = Kind(flight.facts.name)
        answers = [_answer(one, kind, one.prompt_tokens or 0) for one in results.values()]
    if len(answers) < LEAST:
        return None
    return Measured(
        run=name,
        model=run.job.model or flight.facts.name,
        answers=tuple(answers),
        tally=tally,
        rows=tuple(rows for block in kept.blocks() for rows in kept.rows(block)),
        of_dataset=of_dataset,
        pilot=of_dataset and run.pilot is not None,
        rehearsal=run.rehearsal,
    )


def _spread(kept: Kept, rows: int) -> Iterable[Result]:
    """Every so many-th result of a pilot, over all its blocks: few blocks may be unlike the rest.

    They lie in the journal, which is cheap to read.
    """
    everything = (result for block in kept.blocks() for result in kept.results(block).values())
    return islice(everything, 0, None, max(1, -(-rows // _MOST)))


def _some(kept: Kept, rows: int) -> Iterable[Result]:
    """All results of a small run; of a large one some in the middle of each of many blocks."""
    blocks = kept.blocks()
    if rows <= _MOST:
        for block in blocks:
            yield from kept.results(block).values()
        return
    size, wanted = len(blocks), min(len(blocks), _MOST_BLOCKS)
    for block in (blocks[(2 * at + 1) * size // (2 * wanted)] for at in range(wanted)):
        there = kept.rows(block)
        if there:
            start, stop = there[0].start, there[-1].stop
            reach = min(stop - start, -(-_MOST // wanted))
            first = start + (stop - start - reach) // 2
            yield from kept.results(block, range(first, first + reach)).values()


def _counted(
    results: dict[int, Result], flight: Preflight, counting: Counting, *, made_up: bool
) -> list[Answer]:
    """The results beside what is counted of their rows, which are read again.

    How the stand-in server counts prompts tells nothing of the provider: of answers that were
    `made_up` only lengths and times remain.
    """
    answers = []
    for row in _rows(sorted(results), flight):
        # A census of one row: its only cell tells what kind of request it is.
        census = counting.count([row])
        for kind, _ in census.cells:
            answer = _answer(results[row.index], kind, census.tokens)
            if made_up:
                counted = replace(answer.usage, prompt_tokens=census.tokens, cached_tokens=0)
                answer = replace(answer, usage=counted, cost_pico=None)
            answers.append(answer)
    return answers


def _rows(wanted: list[int], flight: Preflight) -> Iterable[Row]:
    spans = [range(row, row + 1) for row in wanted]
    columns = flight.template.columns
    for batch in flight.dataset.batches(columns=columns, keep=(), spans=spans):
        yield from batch.rows


def _answer(result: Result, kind: Kind, counted: int) -> Answer:
    usage = Usage(
        result.prompt_tokens or 0,
        result.completion_tokens or 0,
        result.total_tokens or 0,
        result.cached_tokens or 0,
        result.reasoning_tokens or 0,
    )
    cost = result.cost
    if result.total_tokens is None:
        cost = 0.0  # nothing was billed that is known of
    return Answer(
        kind,
        counted,
        usage,
        None if cost is None else round(cost * PICO),
        result.latency_s if result.error_type is None else None,
    )
