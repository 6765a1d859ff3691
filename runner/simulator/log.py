"""What was asked, when, how often, and what was billed: the stand-in server's own log.

Constant work and, but for one small entry per distinct body, constant memory per request.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from runner.simulator.limits import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.simulator.reply import Answer
    from runner.simulator.settings import SimulatorSettings

KEPT: Final = 1_000_000  # requests in memory, 40 bytes each; the oldest go first
DROPPED: Final = 0  # status of a request whose connection the server closed
GONE: Final = 499  # status of a request whose client gave up waiting
_ANSWERED: Final = 1 << 32  # asked in the low half, answered in the high half
_DIGEST_BYTES: Final = 16
_PROMPT_CHARS: Final = 200
_OK: Final = 200
_WHOLE: Final = frozenset({"answer", "gzip", "no_usage"})  # lines that give a usable reply
_LISTED: Final = 1_000  # bodies named in the stats


@dataclass(frozen=True, slots=True)
class Asked:
    """One chat request as it came in. Made by `simulated_desk`, kept here."""

    arrived_s: float
    digest: bytes  # BLAKE2b of the body, 16 bytes
    attempt: int  # how often this body has been asked, this time included
    number: int  # since the start, from 1
    request_id: str
    size: int  # bytes of the body
    body: dict[str, Any] = field(default_factory=dict)  # empty where it is no chat request
    flaw: str | None = None  # the error line for a body that is no chat request
    text: str = ""  # the last user message
    model: str = ""


class SimulatorLog:
    """Counts and windows over every chat request, on a clock in seconds that never steps back."""

    def __init__(
        self, settings: SimulatorSettings, *, epoch_s: float, file: IO[bytes] | None
    ) -> None:
        self._settings = settings
        self._epoch_s = epoch_s  # what to add to the clock for seconds since the epoch
        self._file = file
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.requests = 0
        self.first_s: float | None = None
        self._last_s = 0.0
        self._finished = 0
        self._by_status: Counter[int] = Counter()
        self._by_line: Counter[str] = Counter()
        self._by_model: Counter[str] = Counter()
        self._bodies: dict[bytes, int] = {}
        self._second, self._minute, self._tokens = Window(1.0), Window(60.0), Window(60.0)
        self._prompt = self._completion = self._cached = self._reasoning = 0
        self._times, self._statuses, self._sums = array("d"), array("H"), array("L")
        self._digests = bytearray()

    def arrived(self, now_s: float, digest: bytes) -> int:
        """Count a request; how often its body has been asked, this time included."""
        self.requests += 1
        self._last_s = now_s
        if self.first_s is None:
            self.first_s = now_s
        self._second.add(now_s)
        self._minute.add(now_s)
        count = self._bodies.get(digest, 0) + 1
        self._bodies[digest] = count
        return count % _ANSWERED

    def finished(
        self, now_s: float, *, asked: Asked, status: int, line: str, answer: Answer | None
    ) -> None:
        """Count the end of a request; `line` names what it got, `answer` is what it bills."""
        self._by_status[status] += 1
        self._by_line[line] += 1
        self._by_model[asked.model] += 1
        tokens = 0
        if answer is not None:
            tokens = answer.prompt_tokens + answer.completion_tokens
            self._tokens.add(now_s, tokens)
            self._prompt += answer.prompt_tokens
            self._completion += answer.completion_tokens
            self._cached += answer.cached_tokens
            self._reasoning += answer.reasoning_tokens
        if status == _OK and line in _WHOLE:
            self._bodies[asked.digest] = self._bodies.get(asked.digest, 1) + _ANSWERED
        self._keep(asked.arrived_s, asked.digest, status, tokens)
        if self._file is not None:
            self._file.write(self._record(now_s, asked, status, line, answer))

    def _keep(self, arrived_s: float, digest: bytes, status: int, tokens: int) -> None:
        slot = self._finished % KEPT
        if self._finished < KEPT:
            self._times.append(arrived_s)
            self._statuses.append(status)
            self._sums.append(tokens)
            self._digests += digest
        else:
            self._times[slot], self._statuses[slot], self._sums[slot] = arrived_s, status, tokens
            self._digests[slot * _DIGEST_BYTES : (slot + 1) * _DIGEST_BYTES] = digest
        self._finished += 1

    def _record(
        self, now_s: float, asked: Asked, status: int, line: str, answer: Answer | None
    ) -> bytes:
        record = {
            "at": round(asked.arrived_s + self._epoch_s, 6),
            "took_s": round(now_s - asked.arrived_s, 6),
            "body": asked.digest.hex(),
            "attempt": asked.attempt,
            "prompt": asked.text[:_PROMPT_CHARS],
            "model": asked.model,
            "status": status,
            "line": line,
            "prompt_tokens": answer.prompt_tokens if answer else 0,
            "completion_tokens": answer.completion_tokens if answer else 0,
            "cached_tokens": answer.cached_tokens if answer else 0,
            "thought": answer is not None and answer.choices[0].reasoning is not None,
        }
        return orjson.dumps(record) + b"\n"

    def lines(self) -> Iterator[bytes]:
        """The log in memory as JSON lines, oldest end first, about 1,000 lines a piece."""
        count = len(self._times)
        start = self._finished % KEPT if self._finished > KEPT else 0
        for first in range(0, count, 1_000):
            slots = ((start + i) % count for i in range(first, min(first + 1_000, count)))
            yield b"".join(orjson.dumps(self._entry(slot)) + b"\n" for slot in slots)

    def _entry(self, slot: int) -> dict[str, Any]:
        digest = self._digests[slot * _DIGEST_BYTES : (slot + 1) * _DIGEST_BYTES]
        return {
            "at": round(self._times[slot] + self._epoch_s, 6),
            "body": digest.hex(),
            "status": self._statuses[slot],
            "tokens": self._sums[slot],
        }

    def stats(self) -> dict[str, Any]:
        """Everything counted so far, as the JSON of `GET /_stats`."""
        names = {DROPPED: "dropped", GONE: "client_gone"}
        again = {d.hex(): n for d, n in self._bodies.items() if n % _ANSWERED > 1}
        span_s = self._last_s - (self.first_s or 0.0)
        return {
            "requests": self.requests,
            "in_flight": self.requests - self._finished,
            "answered": sum(n // _ANSWERED for n in self._bodies.values()),
            "by_status": {names.get(s, str(s)): n for s, n in sorted(self._by_status.items())},
            "by_line": dict(sorted(self._by_line.items())),
            "by_model": dict(sorted(self._by_model.items())),
            "distinct_bodies": len(self._bodies),
            "asked_again": len(again),
            "answered_again": sum(n // _ANSWERED > 1 for n in again.values()),
            "asked_again_bodies": {
                body: {"asked": n % _ANSWERED, "answered": n // _ANSWERED}
                for body, n in list(again.items())[:_LISTED]
            },
            "largest_1s": self._second.largest,
            "largest_60s": self._minute.largest,
            "largest_60s_tokens": self._tokens.largest,
            "prompt_tokens": self._prompt,
            "completion_tokens": self._completion,
            "cached_tokens": self._cached,
            "reasoning_tokens": self._reasoning,
            "limits": self._limits(),
            "span_s": round(span_s, 6),
            "share_used": self._share_used(span_s),
        }

    def _limits(self) -> dict[str, float | None]:
        settings = self._settings
        return {name: getattr(settings, name) for name in ("qps", "rpm", "tpm", "growth")}

    def _share_used(self, span_s: float) -> dict[str, float]:
        """Of each limit, the part used between the first and the last arrival.

        The last request's own share of time is added to the span, so that an even pace at the limit
        is 1.0; throttled requests use nothing.
        """
        settings = self._settings
        used: dict[str, float] = {}
        throttled = ("limit_requests", "insufficient_quota", "limit_burst_rate")
        let_in = self.requests - sum(self._by_line[f"throttled:{name}"] for name in throttled)
        for name, per_s in (("qps", settings.qps), ("rpm", settings.rpm and settings.rpm / 60)):
            if per_s:
                used[name] = round(let_in / (per_s * (span_s + 1 / per_s)), 4)
        if settings.tpm and span_s > 0:
            tokens = self._prompt + self._completion
            used["tpm"] = round(tokens / (settings.tpm / 60 * span_s), 4)
        return used
