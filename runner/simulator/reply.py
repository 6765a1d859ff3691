"""How the stand-in server writes an answer down: one JSON body, or the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from runner.simulator.model import Choice, choose, prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE_CHARS: Final = 16  # of a streamed text; longer ones are cut into _PIECES_MAX pieces
_PIECES_MAX: Final = 64
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stand-in model says to one request, and what it bills."""

    reply_id: str
    model: str
    created: int  # seconds since the epoch
    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int  # thinking included, all choices
    reasoning_tokens: int
    cached_tokens: int

    def usage(self) -> dict[str, Any]:
        """The `usage` object; the detail on reasoning only where the model thought."""
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }
        if self.choices[0].reasoning is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return usage


def answer_request(
    body: dict[str, Any],
    *,
    reply_id: str,
    created: int,
    seed: int,
    count: Callable[[str], int],
    thinks: bool,
    cached_tokens: int,
) -> Answer:
    """The whole answer to a request: every choice, and the tokens that it bills."""
    choices = tuple(
        choose(body, index=index, seed=seed, count=count, thinks=thinks)
        for index in range(body.get("n") or 1)
    )
    thought = sum(choice.reasoning_tokens for choice in choices)
    answered = sum(choice.answer_tokens for choice in choices)
    return Answer(
        reply_id,
        body["model"],
        created,
        choices,
        prompt_tokens(body, count),
        answered + thought,
        thought,
        cached_tokens,
    )


def plain_body(answer: Answer, *, without: str = "") -> bytes:
    """The body of a plain reply; `without` names a key to leave out (a flaw to rehearse)."""
    choices = []
    for index, choice in enumerate(answer.choices):
        message: dict[str, Any] = {"role": "assistant", "content": choice.content}
        if choice.reasoning is not None:
            message["reasoning_content"] = choice.reasoning
        if choice.tool_calls is not None:
            message["tool_calls"] = choice.tool_calls
        reason = None if without == "finish_reason" else choice.finish_reason
        choices.append(
            {"message": message, "finish_reason": reason, "index": index, "logprobs": None}
        )
    body = {
        "choices": choices,
        "object": "chat.completion",
        "usage": answer.usage(),
        "created": answer.created,
        "system_fingerprint": "",
        "model": answer.model,
        "id": answer.reply_id,
    }
    body.pop(without, None)
    return orjson.dumps(body)


def stream_events(answer: Answer, *, usage: bool) -> list[bytes]:
    """The events of a streamed reply without the closing `[DONE]`: role, thinking, text, reason.

    With `usage` a last event without choices carries it, as `stream_options.include_usage` asks.
    """
    tail = (
        b'],"object":"chat.completion.chunk","usage":null,"created":%d,"system_fingerprint":null,'
        b'"model":%b,"id":%b}\n\n'
        % (answer.created, orjson.dumps(answer.model), orjson.dumps(answer.reply_id))
    )
    events: list[bytes] = []
    for index, choice in enumerate(answer.choices):
        events += _choice_events(index, choice, tail)
    if usage:
        last = {
            "choices": [],
            "object": "chat.completion.chunk",
            "usage": answer.usage(),
            "created": answer.created,
            "system_fingerprint": None,
            "model": answer.model,
            "id": answer.reply_id,
        }
        events.append(b"data: " + orjson.dumps(last) + b"\n\n")
    return events


def _choice_events(index: int, choice: Choice, tail: bytes) -> list[bytes]:
    end = b'},"index":%d,"logprobs":null,"finish_reason":null}' % index + tail
    head = b'data: {"choices":[{"delta":{'
    dumps = orjson.dumps
    events = [head + b'"content":"","role":"assistant"' + end]
    if choice.reasoning is not None:
        events += [
            head + b'"content":null,"reasoning_content":' + dumps(piece) + end
            for piece in _pieces(choice.reasoning)
        ]
    events += [head + b'"content":' + dumps(piece) + end for piece in _pieces(choice.content)]
    for call in choice.tool_calls or ():
        events += [
            head + b'"tool_calls":[' + dumps(part) + b"]" + end for part in _call_parts(call)
        ]
    closing = b'"content":""},"index":%d,"logprobs":null,"finish_reason":"%b"}' % (
        index,
        choice.finish_reason.encode(),
    )
    events.append(head + closing + tail)
    return events


def _pieces(text: str) -> list[str]:
    size = max(_PIECE_CHARS, -(-len(text) // _PIECES_MAX))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _call_parts(call: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool call in deltas: its name first, then its arguments in pieces."""
    function = call["function"]
    parts: list[dict[str, Any]] = [
        {**call, "function": {"name": function["name"], "arguments": ""}}
    ]
    parts += [
        {
            "index": call["index"],
            "id": "",
            "type": "function",
            "function": {"arguments": piece},
        }
        for piece in _pieces(function["arguments"])
    ]
    return parts
