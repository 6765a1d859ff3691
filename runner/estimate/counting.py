"""Counts prompts on every core: rows in, one census out.

In processes, since threads do not pay: tiktoken lets go of the interpreter's lock for some ten
microseconds at a time, and two threads then spend half of their time taking it back (measured on
two cores: 1.0 times one thread's speed for 1.6 times its CPU). Each is a plain subprocess that
talks over its pipes: unlike `multiprocessing` it neither runs the caller's script again nor forks
one that has threads.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from runner.errors import MachineFault
from runner.estimate.prompt_census import Alike, Census, Chunk, Counting, by_tokenizer
from runner.preflight import prepare
from runner.tokens import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from runner.dataset import Batch
    from runner.job import Job

CHUNK_ROWS = 1024  # counted together: a text that they share is counted once
_CODE = "from runner.estimate.counting import serve; serve()"
# Less text than this is counted before other processes would be ready (0.5 s each).
_SMALL_BYTES = 8 << 20
_AHEAD = 2  # chunks a process is given before its answer is awaited


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

    `text_bytes`, about what is to be read, decides whether one process does.
    """
    census = Census()
    processes = len(_cores()) if text_bytes > _SMALL_BYTES and sys.executable else 1
    counted = _counted_here if processes == 1 else _counted_elsewhere
    for part in counted(plan, _chunks(batches), processes):
        census.merge(part)
        on_rows(census.rows)
    return census


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


def _counted_here(plan: Plan, chunks: Iterator[Chunk], processes: int) -> Iterator[Census]:
    del processes
    counting = plan.begin()
    for chunk in chunks:
        yield counting.count_chunk(chunk)


def _counted_elsewhere(plan: Plan, chunks: Iterator[Chunk], processes: int) -> Iterator[Census]:
    with _crew(plan, processes) as crew:
        pending: deque[Future[Census]] = deque()
        for chunk in chunks:
            pending.append(crew.count(chunk))
            if len(pending) > processes * _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Crew:
    """Idle processes, and a thread for each that waits for its answer."""

    def __init__(self, workers: Sequence[subprocess.Popen[bytes]]) -> None:
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for worker in workers:
            self._idle.put(worker)
        self.threads = ThreadPoolExecutor(len(workers), thread_name_prefix="penstock-count")

    def count(self, chunk: Chunk) -> Future[Census]:
        return self.threads.submit(self._ask, chunk)

    def _ask(self, chunk: Chunk) -> Census:
        worker = self._idle.get()
        try:
            _send(worker.stdin, chunk)
            answer = _receive(worker.stdout)
        except (OSError, EOFError):
            raise MachineFault(
                "a process that counts tokens has ended unexpectedly; was it killed, or is memory "
                "short? Start again, with --sample 10000 if it happens again"
            ) from None
        finally:
            self._idle.put(worker)
        assert isinstance(answer, Census)  # noqa: S101 - `serve` sends nothing else
        return answer


@contextmanager
def _crew(plan: Plan, processes: int) -> Iterator[_Crew]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    workers = [
        subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(processes)
    ]
    crew = _Crew(workers)
    try:
        for worker in workers:
            _send(worker.stdin, plan)
        yield crew
    finally:
        for worker in workers:
            worker.kill()
        crew.threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.communicate()


def serve() -> None:
    """The life of one counting process: a plan, then rows and their census until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's Ctrl-C ends it through the pipe
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints would garble the answers
    plan = _receive(source)
    counting = plan.begin()
    gc.freeze()
    gc.disable()  # nothing here forms cycles, and looking for them costs a tenth
    try:
        while True:
            _send(sink, counting.count_chunk(_receive(source)))
    except (EOFError, BrokenPipeError):
        return


def _send(pipe: IO[bytes] | None, thing: object) -> None:
    assert pipe is not None  # noqa: S101 - opened as a pipe
    pickle.dump(thing, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> Any:
    assert pipe is not None  # noqa: S101 - opened as a pipe
    return pickle.load(pipe)  # noqa: S301 - the other end is this very program
