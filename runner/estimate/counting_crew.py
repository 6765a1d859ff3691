"""The helpers of a count: a process on each further core, and the pipes to it.

Processes, since threads do not pay: tiktoken lets go of the interpreter's lock for some ten
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
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Protocol

from runner.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.estimate.prompt_census import Census, Chunk, Counting

    class Begins(Protocol):
        """What a helper is sent to begin with."""

        def begin(self) -> Counting:
            """The counting that it describes."""
            ...


_CODE = "from runner.estimate.counting_crew import serve; serve()"
# Chunks that wait for a helper, beside the one that it counts and the one in its pipe: enough for
# the time in which nobody hands it more, since this process counts a chunk of its own.
_WAITING = 1


class Crew:
    """Helpers at work. Made by `crew_of`, consumed by `counting`; from one thread."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._found: SimpleQueue[Census | None] = SimpleQueue()  # None: a helper has died
        self._owed = 0  # chunks that were taken and not yet counted
        self._helpers = [_Helper(process, self._found) for process in processes]

    def takes(self, chunk: Chunk) -> bool:
        """Whether a helper has room for it, and takes it then."""
        for helper in self._helpers:
            if helper.takes(chunk):
                self._owed += 1
                return True
        return False

    def counted(self) -> Iterator[Census]:
        """What has been found since the last look. Raises MachineFault."""
        while not self._found.empty():
            yield self._next()

    def rest(self) -> Iterator[Census]:
        """What is still to be found of the chunks that were taken. Raises MachineFault."""
        for helper in self._helpers:
            helper.end()
        while self._owed:
            yield self._next()

    def wait(self) -> None:
        """Until nobody talks to the helpers any more, which have been ended."""
        for helper in self._helpers:
            helper.end()
        for helper in self._helpers:
            helper.wait()

    def _next(self) -> Census:
        found = self._found.get()
        if found is None:
            raise MachineFault(
                "a process that counts tokens has ended unexpectedly; was it killed, or is memory "
                "short? Start again, with --sample 10000 if it happens again"
            )
        self._owed -= 1
        return found


class _Helper:
    """One process, and the thread that talks to it."""

    def __init__(self, process: subprocess.Popen[bytes], found: SimpleQueue[Census | None]) -> None:
        self._process, self._found = process, found
        self._chunks: SimpleQueue[Chunk | None] = SimpleQueue()
        self._ready = False
        self._thread = Thread(target=self._talk, name="penstock-count", daemon=True)
        self._thread.start()

    def takes(self, chunk: Chunk) -> bool:
        if not self._ready or self._chunks.qsize() >= _WAITING:
            return False
        self._chunks.put(chunk)
        return True

    def end(self) -> None:
        """Take no more."""
        self._chunks.put(None)

    def wait(self) -> None:
        self._thread.join()

    def _talk(self) -> None:
        try:
            self._ready = _receive(self._process.stdout)
            ahead = False
            while (chunk := self._chunks.get()) is not None:
                # It stands in the pipe until the one before it is counted.
                _send(self._process.stdin, chunk)
                if ahead:
                    self._found.put(_receive(self._process.stdout))
                ahead = True
            if ahead:
                self._found.put(_receive(self._process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError):  # killed, amid an answer too
            if self._ready:  # the others go on without one that never began
                self._ready = False
                self._found.put(None)


@contextmanager
def crew_of(plan: Begins, helpers: int) -> Iterator[Crew]:
    """So many helpers, each with the counting that `plan` describes; none is left behind."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    processes = [
        subprocess.Popen(  # noqa: S603 - this very interpreter
            # -P: no module of the folder that the user stands in is taken for one of ours.
            [sys.executable, "-P", "-c", _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(helpers)
    ]
    crew = Crew(processes)
    try:
        for process in processes:
            _send(process.stdin, plan)
        yield crew
    finally:
        for process in processes:
            process.kill()
        crew.wait()
        for process in processes:
            process.communicate()


def serve() -> None:
    """The life of one helper: a plan, then rows and their census until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's Ctrl-C ends it through the pipe
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints would garble the answers
    plan: Begins = _receive(source)
    counting = plan.begin()
    gc.freeze()
    gc.disable()  # nothing here forms cycles, and looking for them costs time
    try:
        _send(sink, thing=True)
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
