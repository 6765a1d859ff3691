"""An output row as the reply it came from: the `chat.completion` object of the SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def chat_completion(row: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """The reply that a succeeded output row stands for, as plain data.

    `row` maps the output columns' names to their values, as read from a part or an export.
    `openai.types.chat.ChatCompletion.model_validate` takes what comes back. Raises ValueError for a
    row that has no answer.
    """

    def cell(name: str) -> Any:
        return row[prefix + name]

    if cell("error_type") is not None:
        raise ValueError(f"row {cell('row')} failed ({cell('error_type')}): it has no reply")
    created = cell("created")
    return {
        "id": cell("response_id") or "",
        "object": "chat.completion",
        "created": 0 if created is None else _seconds(created),
        "model": cell("model") or "",
        "choices": orjson.loads(cell("choices")) if cell("choices") else [_only_choice(cell)],
        "usage": _usage(cell),
    }


def _seconds(created: datetime | float) -> int:
    return int(created if isinstance(created, int | float) else created.timestamp())


def _only_choice(cell: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": cell("completion")}
    if cell("reasoning") is not None:
        message["reasoning_content"] = cell("reasoning")
    if cell("tool_calls") is not None:
        message["tool_calls"] = orjson.loads(cell("tool_calls"))
    return {"index": 0, "finish_reason": cell("finish_reason") or "stop", "message": message}


def _usage(cell: Any) -> dict[str, Any] | None:
    if cell("total_tokens") is None:
        return None
    return {
        "prompt_tokens": cell("prompt_tokens"),
        "completion_tokens": cell("completion_tokens"),
        "total_tokens": cell("total_tokens"),
        "prompt_tokens_details": {"cached_tokens": cell("cached_tokens")},
        "completion_tokens_details": {"reasoning_tokens": cell("reasoning_tokens")},
    }
