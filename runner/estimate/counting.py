"""Counts prompts on every core: rows in, one census out.

This process counts as well; whatever the helpers of the other cores (`counting_crew`) have room for
goes to them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.estimate.counting_crew import crew_of
from runner.estimate.prompt_census import Alike, Census, Chunk, Counting, by_tokenizer
from runner.preflight import prepare
from runner.tokens import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runner.dataset import Batch
    from runner.job import Job

CHUNK_ROWS = 1024  # counted together: a text that they share is counted once
# Less text than this is counted before another process would be ready (0.6 s).
_SMALL_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How to count; made by `estimate`, handed to every process."""

    job: Job
    paths: tuple[str, ...]
    providers_file: str | None
    tokenizer: str | None
    bounds: tuple[int, ...]

    def begin(self) -> Counting:
        """The counting that this describes, with all that a run would check in a row."""
        flight = prepare(self.job, self.paths, providers_file=self.providers_file)
        template = flight.template
        tokenizer = load_tokenizer(self.tokenizer)
        alike = None
        if template.by_column is not None:
            alike = Alike(template.by_column.fill, tokenizer)
        return Counting(template.fill, by_tokenizer(tokenizer), self.bounds, alike)


def count_prompts(
    plan: Plan, batches: Iterable[Batch], *, text_bytes: float, on_rows: Callable[[int], None]
) -> Census:
    """The census of all rows in `batches`. `on_rows` hears how many have been counted so far.

    `text_bytes`, about what is to be read, decides whether this process does it alone.
    """
    census = Census()
    helpers = len(_cores()) - 1 if text_bytes > _SMALL_BYTES and sys.executable else 0
    for part in _counted(plan, _chunks(batches), helpers):
        census.merge(part)
        on_rows(census.rows)
    return census


def _counted(plan: Plan, chunks: Iterator[Chunk], helpers: int) -> Iterator[Census]:
    with crew_of(plan, helpers) as crew:
        counting = plan.begin()
        for chunk in chunks:
            if not crew.takes(chunk):
                yield counting.count_chunk(chunk)
            yield from crew.counted()
        yield from crew.rest()


def _cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _chunks(batches: Iterable[Batch]) -> Iterator[Chunk]:
    """Batches as they come; those of a sample, of a row each, together."""
    waiting: list[Batch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        if rows >= CHUNK_ROWS // 2:
            yield _joined(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[Batch]) -> Chunk:
    if len(batches) == 1:
        batch = batches[0]
        return Chunk(range(batch.start, batch.start + len(batch)), batch.cells, batch.flaws)
    positions: list[int] = []
    cells: dict[str, list[Any]] = {name: [] for name in batches[0].cells}
    flaws: dict[int, str] = {}
    for batch in batches:
        flaws.update({len(positions) + offset: flaw for offset, flaw in batch.flaws.items()})
        positions += range(batch.start, batch.start + len(batch))
        for name in cells:
            cells[name] += batch.cells[name]
    return Chunk(positions, cells, flaws)
