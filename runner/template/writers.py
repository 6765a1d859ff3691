"""How is the body of a request written? Functions from a row's cells to bytes.

Most of a body is the same for every row, so it is encoded once, and a row costs the encoding of
what is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import FailsRow
from runner.template.messages import read_messages, read_request, with_system
from runner.template.render import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.job import Job
    from runner.template.render import Rendering
    from runner.template.row_params import RowParams

    Cells = Mapping[str, Any]
    # Cells -> the body and the model that it names; raises FailsRow
    Writer = Callable[[Cells], tuple[bytes, str]]


def prompt_column(cells: Cells) -> str:
    """The text of the column `prompt`. Raises FailsRow: "input"."""
    value = cells.get("prompt")
    if isinstance(value, list | dict):
        raise FailsRow(
            "input",
            "the column prompt holds a list or an object; name it `messages`, or pick its text "
            "with -p/--prompt",
        )
    try:
        return str(as_text(value))
    except UnicodeDecodeError as error:
        raise FailsRow("input", f"the column prompt is not UTF-8 text: {error}") from None


def write_from_prompt(
    model: str, prompt: Callable[[Cells], str], system: Rendering | None, tail: bytes
) -> Writer:
    """Bodies of a system message and a prompt; `tail` is what follows the messages."""
    # Only the prompt differs from row to row, so only the prompt is encoded for each.
    opening = b'{"model":' + orjson.dumps(model) + b',"messages":['
    user, close = b'{"role":"user","content":', b"}]" + tail
    constant = system.constant if system else ""
    head = opening + (_encode_system(constant) if constant is not None else b"") + user

    def write(cells: Cells) -> tuple[bytes, str]:
        text = prompt(cells)
        if not text or text.isspace():
            raise FailsRow("empty_prompt", "the prompt is blank in this row; nothing was sent")
        try:
            if system is None or system.constant is not None:
                return head + orjson.dumps(text) + close, model
            before = opening + _encode_system(system.render(cells)) + user
            return before + orjson.dumps(text) + close, model
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write


def _encode_system(text: str) -> bytes:
    if not text.strip():
        return b""
    return b'{"role":"system","content":' + orjson.dumps(text) + b"},"


def write_from_messages(model: str, system: Rendering | None, tail: bytes) -> Writer:
    """Bodies from a column of messages; `tail` is what follows them."""
    head = b'{"model":' + orjson.dumps(model) + b',"messages":'

    def write(cells: Cells) -> tuple[bytes, str]:
        messages = read_messages(cells.get("messages"), "messages")
        if system is not None:
            messages = with_system(messages, system.render(cells))
        try:
            return head + orjson.dumps(messages) + tail, model
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write


def write_from_body(
    job: Job, system: Rendering | None, default_model: str | None, row: RowParams | None
) -> Writer:
    """Bodies from a column of whole requests; the job's model and parameters go before theirs."""
    fixed = job.fixed_params

    def write(cells: Cells) -> tuple[bytes, str]:
        fields = read_request(cells.get("body"), "body")
        own = fields.pop("model", None)
        model = (row and row.model(cells)) or job.model or own or default_model
        if not isinstance(model, str):
            raise FailsRow(
                "input", "the object in the column body names no model; give one with -m/--model"
            )
        messages = fields.pop("messages")
        if system is not None:
            messages = with_system(messages, system.render(cells))
        body = {"model": model, "messages": messages, **fields, **fixed}
        if row is not None:
            values = row.values(cells)
            row.refuse(model, {**fields, **fixed, **values})
            body.update(values)
        try:
            return orjson.dumps(body), model
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write


def with_row_params(write: Writer, model: str, row: RowParams) -> Writer:
    """A writer of bodies without parameters becomes one with the row's own, and its model.

    `model` is what `write` puts in, and "" where only the rows name one.
    """
    usual = b'{"model":' + orjson.dumps(model)
    after_model = len(usual)

    def write_own(cells: Cells) -> tuple[bytes, str]:
        body, _ = write(cells)
        named = row.model(cells)
        if not (named or model):
            raise FailsRow("bad_request", "the row names no model; give one with -m/--model")
        tail = row.tail(named or model, row.values(cells))
        if named is None:
            return body[:-1] + tail, model
        try:
            return b'{"model":' + orjson.dumps(named) + body[after_model:-1] + tail, named
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write_own


def _fail_encoding(error: TypeError) -> FailsRow:
    if "surrogates" in str(error):
        return FailsRow("template", "the prompt has a lone surrogate (half a character); no UTF-8")
    return FailsRow("template", f"the request cannot be written as JSON: {error}")
