"""What came back? An answer's body, read within bounds, as a Reply or an error.

Errors are returned, not raised: `client` raises them where no foreign exception hangs on them.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from runner.client.foreign import FOREIGN, within_answer
from runner.client.reply import (
    ErrorSaid,
    find_error,
    first_words,
    load_json,
    mended,
    read_reply,
    read_usage,
)
from runner.client.sse import EventReader
from runner.errors import AnsweredError, IncompleteReply

if TYPE_CHECKING:
    from aiohttp import ClientResponse, StreamReader

    from runner.client.foreign import Route
    from runner.errors import AttemptFailed
    from runner.records import Reply

LARGEST_REPLY = 64 * 2**20  # bytes; thousands of times a long answer
LARGEST_ERROR = 64 * 2**10  # bytes of an error's body that are read at all
# JSON of a shape that nobody would expect; one such answer must not end a run.
BROKEN = (ValueError, TypeError, AttributeError, LookupError, RecursionError)

_SHOWN = 2_000  # bytes kept of an unreadable body, and characters of an error's message


async def read_answer(
    response: ClientResponse, route: Route, started_s: float
) -> Reply | AttemptFailed:
    """The answer whose head has come. `started_s` is on the monotonic clock."""
    status = response.status
    if not 200 <= status < 300:
        return await read_error(response, route)
    body, flaw = await read_body(response.content, LARGEST_REPLY)
    if flaw is not None:
        return within_answer(flaw, route, text=beginning(body, route))
    return from_body(body, response, route, latency_s=monotonic() - started_s)


def from_body(
    body: bytes, response: ClientResponse, route: Route, *, latency_s: float
) -> Reply | AttemptFailed:
    """What the whole body of a 2xx answer means."""
    try:
        found = load_json(body)
        if (said := find_error(found)) is not None:
            return answered(said, response, route)
        reply = read_reply(found, request_id=request_id_of(response), latency_s=latency_s)
    except BROKEN:
        words = first_words(body) or "nothing at all"
        return _useless(f"is not JSON but: {words}", body, route)
    if reply is None:
        return _useless("holds no choices", body, route, partial=_bill_alone(found, latency_s))
    return whole(reply, response, route)


def whole(reply: Reply, response: ClientResponse, route: Route) -> Reply | IncompleteReply:
    """The reply, unless the provider says that its own time ran out before the answer's end.

    Source: help.aliyun.com/zh/model-studio/error-code.
    """
    if response.headers.get("x-dashscope-partialresponse", "").lower() != "true":
        return reply
    return IncompleteReply(f"{route.endpoint} gave up with a partial answer", partial=reply)


async def read_error(response: ClientResponse, route: Route) -> AnsweredError:
    """The error in an answer that is not 2xx, as far as its body can be read."""
    body, _ = await read_body(response.content, LARGEST_ERROR)
    said = _said(body)
    if said is None:
        said = ErrorSaid("", first_words(body) or response.reason or "no reason given", None)
    if location := response.headers.get("Location"):
        words = f"redirected to {location}; not followed, since the key must not go there"
        said = said._replace(message=words)
    return answered(said, response, route)


def answered(
    said: ErrorSaid, response: ClientResponse, route: Route, *, partial: Reply | None = None
) -> AnsweredError:
    """The error that the server told of, with its status and headers."""
    return AnsweredError(
        response.status,
        route.hide(said.code),
        route.hide(mended(said.message[:_SHOWN])),
        headers={
            name.lower(): route.hide(mended(value)) for name, value in response.headers.items()
        },
        request_id=request_id_of(response) or said.request_id,
        partial=partial,
    )


def request_id_of(response: ClientResponse) -> str | None:
    """The provider's own name for the request, where a header tells it.

    A head's bytes that are no UTF-8 come from aiohttp as lone surrogates, which no file takes.
    """
    found = response.headers.get("x-request-id")
    return found and mended(found)


async def read_body(content: StreamReader, most_bytes: int) -> tuple[bytes, BaseException | None]:
    """What has come of a body, and what ended it too early, if anything did."""
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await content.readany():
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                return b"".join(pieces)[:most_bytes], OverflowError(most_bytes)
    except FOREIGN as error:
        return b"".join(pieces), error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), None


def beginning(body: bytes, route: Route) -> str:
    """As much of an unreadable body as is worth keeping."""
    return route.hide(body[:_SHOWN].decode("utf-8", "replace"))


def _said(body: bytes) -> ErrorSaid | None:
    """The error object in a body; the provider may send it as an event (`data: {...}`)."""
    if (said := _said_in(body)) is not None:
        return said
    events = EventReader()
    found = map(_said_in, (*events.feed(body), *events.end()))
    return next((said for said in found if said is not None), None)


def _said_in(text: bytes) -> ErrorSaid | None:
    try:
        return find_error(load_json(text))
    except BROKEN:
        return None


def _bill_alone(found: Any, latency_s: float) -> Reply | None:
    """What a completion without choices tells of its cost."""
    if not isinstance(found, dict) or read_usage(found.get("usage")) is None:
        return None
    return read_reply({**found, "choices": [{}]}, request_id=None, latency_s=latency_s)


def _useless(
    why: str, body: bytes, route: Route, *, partial: Reply | None = None
) -> IncompleteReply:
    words = route.hide(f"the answer of {route.endpoint} {why}")
    return IncompleteReply(words, text=beginning(body, route), partial=partial)
