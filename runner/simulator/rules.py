"""Which requests does the provider refuse, whatever the moment?

The provider's own rules (qwen-api-via-openai-chat-completions, stream; the seed's parameter table):
a name of `error_lines.toml` for each.
"""

from __future__ import annotations

import re
from typing import Any, Final

from runner.simulator.model import text_of

_ALWAYS_THINKS: Final = re.compile(r"(qwq|qvq)\b")  # stream only, too
_OPEN_QWEN3: Final = re.compile(r"qwen3-(\d|[\d.]+b)")  # thinks unless told not to, streams then
_THINKS_BY_DEFAULT: Final = re.compile(r"qwen3\.[5-9]")  # newer commercial ones, plain as well


def thinks(body: dict[str, Any]) -> bool:
    """Whether the model reasons before it answers this request."""
    model = str(body["model"])
    if _ALWAYS_THINKS.match(model):
        return True
    asked = body.get("enable_thinking")
    if asked is None:
        return bool(_OPEN_QWEN3.match(model) or _THINKS_BY_DEFAULT.match(model))
    return bool(asked)


def shape_refusal(body: object) -> str | None:
    """The error line for a body that is no chat request at all; None if it is one."""
    if not isinstance(body, dict):
        return "body_not_json"
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "no_model"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "no_messages"
    return None if all(isinstance(message, dict) for message in messages) else "no_messages"


def refusal(body: dict[str, Any]) -> str | None:
    """The error line for a well-formed request that the provider refuses; None if it answers."""
    streams, reasons = bool(body.get("stream")), thinks(body)
    if not streams and _ALWAYS_THINKS.match(body["model"]):
        return "stream_only"
    if not streams and reasons and _OPEN_QWEN3.match(body["model"]):
        return "thinking_must_be_off"
    if body.get("enable_thinking") is False and _ALWAYS_THINKS.match(body["model"]):
        return "thinking_restricted"
    for name, line, high in (("n", "n_range", 4), ("max_tokens", "max_tokens_range", None)):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or value < 1 or (high is not None and value > high):
            return line
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        if reasons:
            return "json_with_thinking"
        said = (text_of(message.get("content")) for message in body["messages"])
        if wanted["type"] == "json_object" and not any("json" in text.lower() for text in said):
            return "json_word_missing"
    return None
