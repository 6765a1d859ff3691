"""What does a request ask? Its texts, and what decides beside them what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from runner.tokens import inexact_parts, prompt_texts

if TYPE_CHECKING:
    from runner.records import Request

    Body = dict[str, Any]


class Kind(NamedTuple):
    """What decides, beside the length of its prompt, what a request may cost."""

    model: str  # that the body names
    enable_thinking: bool | None = None  # None: not sent, the model's default holds
    max_tokens: int | None = None  # of the answer alone
    max_completion_tokens: int | None = None  # of thinking and answer together
    thinking_budget: int | None = None  # of thinking alone
    choices: int = 1  # answers to one prompt (`n`)


class Prompt(NamedTuple):
    """One request's prompt. Made by `PromptReader`, consumed by `prompt_census`."""

    kind: Kind
    texts: list[str]  # what is tokenized
    around: int  # tokens of the chat format
    inexact: tuple[str, ...]  # what in it cannot be counted


class _Shape(NamedTuple):
    """A body but for the text of its last message."""

    head: bytes  # up to that text's opening quote
    tail: bytes  # from behind its closing quote
    prompt: Prompt  # the last of its texts is the one that changes


class PromptReader:
    """Reads requests one after the other; those that differ in one text alone, without parsing.

    With a prompt template all bodies but for that text are the same bytes, and parsing them
    would take a third of the time that counting takes.
    """

    def __init__(self) -> None:
        self._shape: _Shape | None = None
        self._is_first = True

    def read(self, request: Request) -> Prompt:
        """The prompt of a request."""
        body = request.body
        shape = self._shape
        if shape is not None and body.startswith(shape.head) and body.endswith(shape.tail):
            text = _string(body[len(shape.head) : len(body) - len(shape.tail)])
            if text is not None:
                kind, texts, around, inexact = shape.prompt
                return Prompt(kind, [*texts[:-1], text], around, inexact)
        parsed: Body = orjson.loads(body)
        prompt = _prompt(request.model, parsed)
        if self._is_first:  # rows that have nothing in common are not searched for it again
            self._is_first = False
            self._shape = _shape(body, parsed, prompt)
        return prompt


def _prompt(model: str, body: Body) -> Prompt:
    texts, around = prompt_texts(body)
    thinking = body.get("enable_thinking")
    kind = Kind(
        model,
        None if thinking is None else bool(thinking),
        _whole(body.get("max_tokens")),
        _whole(body.get("max_completion_tokens")),
        _whole(body.get("thinking_budget")),
        _whole(body.get("n")) or 1,
    )
    return Prompt(kind, texts, around, inexact_parts(body))


def _whole(value: object) -> int | None:
    # anything else is refused by the provider, and costs nothing
    return value if type(value) is int and value > 0 else None


def _shape(body: bytes, parsed: Body, prompt: Prompt) -> _Shape | None:
    """The body's shape, proved by putting another text in the place; None where there is none."""
    messages = parsed.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    text = last.get("content") if isinstance(last, dict) else None
    if not isinstance(last, dict) or not isinstance(text, str) or prompt.texts[-1:] != [text]:
        return None
    written = orjson.dumps(text)
    place = body.find(b'"content":' + written)
    while place >= 0:
        head, tail = body[: place + 10], body[place + 10 + len(written) :]
        last["content"] = other = text + "?"
        try:
            if orjson.loads(head + orjson.dumps(other) + tail) == parsed:
                return _Shape(head, tail, prompt)
        finally:
            last["content"] = text
        place = body.find(b'"content":' + written, place + 1)
    return None


def _string(written: bytes) -> str | None:
    """The text, if this is one JSON string and nothing else."""
    if not written.startswith(b'"'):
        return None
    try:
        text = orjson.loads(written)
    except orjson.JSONDecodeError:
        return None
    return text if isinstance(text, str) else None
