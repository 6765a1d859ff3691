"""How an answer or an error line looks on the wire: status, headers, body, and its end."""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import orjson

from runner.simulator.reply import DONE, Answer, plain_body, stream_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.simulator.error_lines import Line

_HUGE_BYTES: Final = 32 * 1024 * 1024
_STREAM_TYPE: Final = "text/event-stream;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Wire:
    """One response, ready to be sent. Made here, consumed by `simulator`."""

    status: int
    content_type: str
    pieces: list[bytes]  # events of a stream, or the one body
    headers: dict[str, str]
    streamed: bool = False
    broken: bool = False  # the connection closes where the pieces end
    answer: Answer | None = None  # what is billed; None: nothing is


def error_wire(line: Line, *, request_id: str, model: str) -> Wire:
    """The response of an error line: its raw body, or the provider's error object."""
    headers = dict(line.headers)
    if line.retry_after_date_s is not None:
        headers["Retry-After"] = formatdate(time.time() + line.retry_after_date_s, usegmt=True)
    if line.raw is not None:
        return Wire(line.status, line.content_type, [line.raw.encode()], headers)
    body = error_object(line, request_id=request_id, model=model)
    if line.how == "data_prefixed":
        body = b"data: " + body + b"\n\n"
    return Wire(line.status, line.content_type, [body], headers)


def error_object(line: Line, *, request_id: str, model: str) -> bytes:
    """The provider's error object for a line."""
    body: dict[str, Any] = {
        "error": {
            "message": line.message.replace("{model}", model),
            "type": line.type or line.code,
            "param": line.param,
            "code": line.code,
        }
    }
    if line.with_id:
        body["id"] = f"chatcmpl-{request_id}"
    body["request_id"] = request_id
    return orjson.dumps(body)


def answer_wire(
    line: Line,
    answer: Answer,
    body: dict[str, Any],
    *,
    request_id: str,
    count: Callable[[str], int],
) -> Wire:
    """The response that carries an answer, whole or with the trouble that `line.how` names."""
    if line.how == "partial":
        answer = _half(answer, count)
    if body.get("stream"):
        return _streamed(line, answer, body, request_id)
    return _plain(line, answer, request_id)


def _plain(line: Line, answer: Answer, request_id: str) -> Wire:
    if line.how == "error_in_stream":
        return Wire(
            200,
            "application/json",
            [error_object(line, request_id=request_id, model=answer.model)],
            {},
            answer=answer,
        )
    without = {"no_choices": "choices", "no_usage": "usage", "partial": "finish_reason"}
    body, headers = plain_body(answer, without=without.get(line.how, "")), dict(line.headers)
    if line.how == "truncated":
        body = body[: len(body) // 2]
    elif line.how == "huge":
        body += b" " * _HUGE_BYTES
    elif line.how == "gzip":
        body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
    broken = line.how == "broken"
    return Wire(200, "application/json", [body], headers, broken=broken, answer=answer)


def _streamed(line: Line, answer: Answer, body: dict[str, Any], request_id: str) -> Wire:
    options = body.get("stream_options")
    wanted = isinstance(options, dict) and bool(options.get("include_usage"))
    events = stream_events(answer, usage=wanted and line.how != "no_usage")
    headers, half = dict(line.headers), max(1, len(events) // 2)
    if line.how == "no_choices":
        events = [event for event in events if event.startswith(b'data: {"choices":[],')]
    if line.how in ("truncated", "broken"):
        events = events[:half]
    elif line.how == "error_in_stream":
        error = error_object(line, request_id=request_id, model=answer.model)
        events = [*events[:half], b"data: " + error + b"\n\n"]
    elif line.how == "huge":
        events = [*events, b": " + b" " * _HUGE_BYTES + b"\n\n", DONE]
    else:
        events.append(DONE)
    if line.how == "gzip":
        events, headers["Content-Encoding"] = [gzip.compress(b"".join(events), 1)], "gzip"
    broken = line.how == "broken"
    return Wire(200, _STREAM_TYPE, events, headers, streamed=True, broken=broken, answer=answer)


def _half(answer: Answer, count: Callable[[str], int]) -> Answer:
    """The answer as it stood when the server's own time ran out; that much is billed."""
    choices = []
    for choice in answer.choices:
        content = choice.content[: len(choice.content) // 2]
        choices.append(replace(choice, content=content, answer_tokens=count(content)))
    answered = sum(choice.answer_tokens for choice in choices)
    spent = answered + answer.reasoning_tokens
    return replace(answer, choices=tuple(choices), completion_tokens=spent)
