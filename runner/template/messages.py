"""The messages, or the whole request, that a row brings along: read and checked.

A cell is a list (or struct) from a typed file, or its JSON text. Text is sent as it is. In structs
a null field is Arrow's way to say that this row has no such field, so it is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import FailsRow

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = dict[str, Any]

_SYSTEM_ROLES = ("system", "developer")  # the second is OpenAI's newer word for the first


def read_messages(cell: object, column: str) -> list[Message]:
    """The messages of a cell. Raises FailsRow: "input", "empty_prompt"."""
    entries = _from_json(cell, column)
    return _checked(entries, column, typed=entries is cell)


def read_request(cell: object, column: str) -> dict[str, Any]:
    """The request object of a cell, its messages checked, without the streaming keys.

    Streaming is how an answer is delivered, no part of the question; the job decides it.
    Raises FailsRow: "input", "empty_prompt".
    """
    request = _from_json(cell, column)
    if request is None:
        raise FailsRow("empty_prompt", f"the column {column} is empty in this row")
    if not isinstance(request, dict):
        raise FailsRow("input", f"the column {column} holds {_kind(request)}; an object is needed")
    if "messages" not in request:
        raise FailsRow(
            "input",
            f"the object in the column {column} has no `messages`; "
            "only chat completions can be asked for",
        )
    typed = request is cell
    messages = _checked(request["messages"], f"{column}.messages", typed=typed)
    fields = drop_nulls(request) if typed else request
    return {
        name: messages if name == "messages" else field
        for name, field in fields.items()
        if name not in ("stream", "stream_options")
    }


def with_system(messages: Sequence[Message], text: str) -> list[Message]:
    """`text` put first as the system message, unless the row brings its own, or it is blank."""
    if not text.strip() or any(message["role"] in _SYSTEM_ROLES for message in messages):
        return list(messages)
    return [{"role": "system", "content": text}, *messages]


def _from_json(cell: object, column: str) -> Any:
    if not isinstance(cell, str | bytes):
        return cell
    if not cell.strip():
        return None
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError as error:
        raise FailsRow("input", f"the column {column} is not JSON: {error}") from None


def _checked(entries: object, column: str, *, typed: bool) -> list[Message]:
    if entries is None:
        raise FailsRow("empty_prompt", f"the column {column} is empty in this row")
    if not isinstance(entries, list):
        raise FailsRow(
            "input", f"the column {column} holds {_kind(entries)}; a list of messages is needed"
        )
    messages = [_read_message(entry, f"{column}[{at}]") for at, entry in enumerate(entries)]
    if typed:
        messages = [_without_null_fields(message) for message in messages]
    if not any(_says_something(message) for message in messages):
        raise FailsRow("empty_prompt", f"the column {column} has no text in this row")
    return messages


def _read_message(entry: object, where: str) -> Message:
    if not isinstance(entry, dict):
        raise FailsRow(
            "input", f"{where} is {_kind(entry)}; a message has the fields role and content"
        )
    role, content = entry.get("role"), entry.get("content")
    if not isinstance(role, str) or not role:
        raise FailsRow("input", f"{where} has no role; its fields: {', '.join(map(str, entry))}")
    if not isinstance(content, str | list | None):
        raise FailsRow("input", f"{where}.content is {_kind(content)}; text or a list is needed")
    return entry


def _says_something(message: Message) -> bool:
    content = message.get("content")
    if message["role"] in _SYSTEM_ROLES or content is None:
        return False
    if isinstance(content, str):
        return bool(content.strip())
    # a part that is no text (an image, a sound) is a question too
    return any(
        bool(str(part.get("text") or "").strip()) or part.get("type") != "text"
        for part in content
        if isinstance(part, dict)
    )


def _without_null_fields(message: Message) -> Message:
    kept: Message = drop_nulls(message)
    if message.get("tool_calls") and "content" in message:
        # beside tool calls the protocol wants the field, and its value is null
        kept.setdefault("content", None)
    return kept


def drop_nulls(value: Any) -> Any:
    """A struct without its null fields, at every depth; the elements of lists stay."""
    if isinstance(value, dict):
        return {name: drop_nulls(field) for name, field in value.items() if field is not None}
    if isinstance(value, list):
        return [drop_nulls(entry) for entry in value]
    return value


def _kind(value: object) -> str:
    names = {bool: "a truth value", int: "a number", float: "a number", str: "text"}
    names |= {list: "a list", dict: "an object", type(None): "empty"}
    return names.get(type(value), f"a {type(value).__name__}")
