"""A client that answers by script: what comes back for a row's nth attempt is a function of both.

It keeps a log of what was sent and when, as a server would.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import AnsweredError, AttemptFailed, IncompleteReply, TimedOut, Unreachable
from runner.records import Reply, Request, Usage

if TYPE_CHECKING:
    from collections.abc import Callable


REPLY_TOKENS = 15


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt as it was sent. Made by `ScriptedClient`, consumed by scripts and tests."""

    row: int
    attempt: int  # of this row, from 1
    at_s: float  # since the client was made


def _nobody_asks() -> None:
    """For requests that nobody wants to see leave."""


Step = Reply | AttemptFailed | None  # None: no answer, ever


class ScriptedClient:
    """What a worker asks. Each attempt takes `latency_s`."""

    def __init__(self, script: Callable[[Asked], Step], *, latency_s: float = 0.1) -> None:
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._script = script
        self._latency_s = latency_s
        self.sent: list[Asked] = []
        self.attempts: Counter[int] = Counter()  # by row
        self.in_flight = 0
        self.most_in_flight = 0

    async def send(self, request: Request, leaves: Callable[[], None] = _nobody_asks) -> Reply:
        """What the script says. Raises AttemptFailed where it says so."""
        self.attempts[request.row] += 1
        now_s = self._loop.time() - self._start_s
        asked = Asked(request.row, self.attempts[request.row], now_s)
        self.sent.append(asked)
        leaves()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            step = self._script(asked)
            if step is None:
                await self._loop.create_future()
            await asyncio.sleep(self._latency_s)
        finally:
            self.in_flight -= 1
        if isinstance(step, Reply):
            return step
        assert step is not None
        raise step


def reply(text: str = "fine", *, known: bool = True) -> Reply:
    """A usable answer of REPLY_TOKENS; `known`: whether it says so."""
    return Reply(
        completion=text,
        reasoning=None,
        tool_calls=None,
        choices=None,
        finish_reason="stop",
        model="qwen-plus",
        response_id="chatcmpl-1",
        created=1_700_000_000,
        usage=Usage(10, 5, REPLY_TOKENS) if known else None,
        request_id="request-1",
        latency_s=0.1,
    )


def error(status: int, code: str, message: str, **headers: str) -> AnsweredError:
    """An error answer; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return AnsweredError(status, code, message, headers=named, request_id="request-2")


def throttled(*, burst: bool = False) -> AnsweredError:
    """429: too many requests, or grown too quickly."""
    if burst:
        return error(429, "limit_burst_rate", "Request rate increased too quickly.")
    return error(429, "limit_requests", "You have exceeded your current request limit.")


def filtered() -> AnsweredError:
    """400: the provider will not answer this text."""
    return error(400, "data_inspection_failed", "Input data may contain inappropriate content.")


def stream_only() -> AnsweredError:
    """400: what all requests have in common is wrong."""
    text = "This model only support stream mode, please enable the stream parameter."
    return error(400, "invalid_parameter_error", text)


def bad_key() -> AnsweredError:
    """401: nobody will be answered."""
    return error(401, "invalid_api_key", "Incorrect API key provided. ")


def overloaded() -> AnsweredError:
    """503: may be an outage."""
    return error(503, "ModelUnavailable", "The model is not available, try again later.")


def refused() -> Unreachable:
    """No connection: may be an outage."""
    return Unreachable("127.0.0.1:9: connection refused")


def too_slow() -> TimedOut:
    """No answer in time; perhaps billed."""
    return TimedOut("no complete answer within 600 s")


def broken_off(*, known: bool) -> IncompleteReply:
    """Half an answer; `known`: whether it says what it cost."""
    return IncompleteReply("the answer broke off", partial=reply("half", known=known))
