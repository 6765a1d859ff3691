"""How does an answer come in pieces? A stream, followed to its end or to what ends it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from runner.client.answer import (
    BROKEN,
    LARGEST_ERROR,
    LARGEST_REPLY,
    answered,
    beginning,
    from_body,
    request_id_of,
    whole,
)
from runner.client.foreign import FOREIGN, too_late, within_answer
from runner.client.sse import EventReader
from runner.client.streamed import StreamedReply
from runner.errors import IncompleteReply, TimedOut

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from runner.client.deadlines import Deadline
    from runner.client.foreign import Route
    from runner.errors import AttemptFailed
    from runner.records import Reply

# After [DONE] the connection's end is worth waiting for: a new one costs a TLS handshake.
_LAST_BYTES_S = 1.0


class Following:
    """One streamed answer on its way. `started_s` is on the monotonic clock."""

    def __init__(self, route: Route, started_s: float) -> None:
        self._route = route
        self._started_s = started_s
        self._events = EventReader()
        self._streamed = StreamedReply()
        self._raw = b""  # the body, as long as no event was found in it
        self._seen = False
        self._request_id: str | None = None
        self._ttft_s: float | None = None
        self._latency_s = 0.0
        self._no_time_left = route.first_chunk_s >= route.timeout_s  # when the deadline passes

    async def follow(self, response: ClientResponse, deadline: Deadline) -> Reply | AttemptFailed:
        """Reads to the end, moving `deadline` along."""
        self._request_id = request_id_of(response)
        ends_s = deadline.due_s + self._route.timeout_s - self._route.first_chunk_s
        size = 0
        try:
            while piece := await response.content.readany():
                size += len(piece)
                if size > LARGEST_REPLY:
                    return within_answer(OverflowError(size), self._route, partial=self._partial())
                if (failed := self._take(piece, response)) is not None:
                    return failed
                if self._streamed.done:
                    deadline.allow(_LAST_BYTES_S)
                elif self._streamed.begun:
                    self._no_time_left = deadline.allow(self._route.idle_s, until_s=ends_s)
        except FOREIGN as error:
            if not self._streamed.ended:
                return within_answer(error, self._route, partial=self._partial())
        return self._take(b"", response) or self._ending(response)

    def too_slow(self) -> Reply | AttemptFailed:
        """What it means that the deadline passed."""
        if self._streamed.done and (reply := self._partial()) is not None:
            return reply
        partial, endpoint = self._partial(), self._route.endpoint
        if self._no_time_left:
            return too_late(self._route, partial=partial)
        if self._streamed.begun:
            words = f"the stream of {endpoint} fell silent for {self._route.idle_s:g} s"
        else:
            words = f"no first token from {endpoint} within {self._route.first_chunk_s:g} s"
        return TimedOut(words, partial=partial)

    def _take(self, piece: bytes, response: ClientResponse) -> AttemptFailed | None:
        """Adds a piece, or the stream's end (b""); what is wrong with it, if anything."""
        events = self._events.feed(piece) if piece else self._events.end()
        if not self._seen and len(self._raw) < LARGEST_ERROR:
            self._raw += piece
            self._seen = bool(events)
        for data in events:
            try:
                self._streamed.add(data)
            except BROKEN:
                text = beginning(data, self._route)
                words = f"a piece of the answer of {self._route.endpoint} is not JSON: {text[:200]}"
                return IncompleteReply(words, text=text, partial=self._partial())
            if self._streamed.error is not None:
                said = self._streamed.error
                return answered(said, response, self._route, partial=self._partial())
        if events:
            self._latency_s = monotonic() - self._started_s
            if self._ttft_s is None and self._streamed.begun:
                self._ttft_s = self._latency_s
        return None

    def _ending(self, response: ClientResponse) -> Reply | AttemptFailed:
        """What it means that the stream is at its end."""
        reply = self._partial()
        if reply is not None and self._streamed.ended:
            return whole(reply, response, self._route)
        if reply is None and not self._streamed.done:
            latency_s = monotonic() - self._started_s
            return from_body(self._raw, response, self._route, latency_s=latency_s)
        words = f"the stream of {self._route.endpoint} ended before the answer did"
        cut = IncompleteReply(words, partial=reply)
        cut.broke_off = not self._streamed.done
        return cut

    def _partial(self) -> Reply | None:
        return self._streamed.reply(
            request_id=self._request_id, latency_s=self._latency_s, ttft_s=self._ttft_s
        )
