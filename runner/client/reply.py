"""What does the body of an answer say? Completion and error objects, turned into our shapes.

Shapes as in the user's document (seed, "返回參數說明" and "異常響應樣本"), and as other servers
vary them.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import orjson

from runner.records import Reply, Usage

_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(rb"<[^<>]*>")
_WORDS = 300  # characters of an unreadable body that are worth showing
_TOO_BIG = 2**53


class ErrorSaid(NamedTuple):
    """An error object in the server's own words; "" where it gave none."""

    code: str
    message: str
    request_id: str | None


def mended(text: str) -> str:
    """`text` with the halves of surrogate pairs joined, and lone ones made U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def load_odd_json(body: bytes) -> Any:
    """JSON that orjson refuses: lone surrogates (kept), NaN and Infinity (None), broken UTF-8.

    Raises ValueError for what is no JSON at all.
    """
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def mend(found: Any) -> Any:
    """The same data with every text `mended`."""
    return orjson.loads(mended(json.dumps(found, ensure_ascii=False)))


def load_json(body: bytes) -> Any:
    """The JSON value in `body`, its texts fit to be encoded again. Raises ValueError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return mend(load_odd_json(body))


def read_usage(found: object) -> Usage | None:
    """The `usage` object of an answer; None when it tells nothing."""
    if not isinstance(found, dict):
        return None
    if not (found.get("total_tokens") or found.get("prompt_tokens")):
        return None
    prompt = _whole(found.get("prompt_tokens")) or 0
    completion = _whole(found.get("completion_tokens")) or 0
    return Usage(
        prompt,
        completion,
        _whole(found.get("total_tokens")) or prompt + completion,
        _detail(found, "prompt_tokens_details", "cached_tokens"),
        _detail(found, "completion_tokens_details", "reasoning_tokens"),
    )


def read_reply(
    found: Any, *, request_id: str | None, latency_s: float, ttft_s: float | None = None
) -> Reply | None:
    """The Reply in a completion object; None when it has no choices to read."""
    choices = found.get("choices") if isinstance(found, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    first = choices[0]
    message = first.get("message")
    if not isinstance(message, dict):
        message = {}
    tool_calls = message.get("tool_calls") or None
    several = len(choices) > 1 or first.get("logprobs")
    return Reply(  # by position: a class takes three times as long to be called by names
        _text(message, tool_calls),
        _joined(message.get("reasoning_content") or message.get("reasoning")) or None,
        _json_text(tool_calls) if tool_calls else None,
        _json_text(choices) if several else None,
        _name(first.get("finish_reason")),
        _name(found.get("model")),
        _name(found.get("id")),
        _whole(found.get("created")),
        read_usage(found.get("usage")),
        request_id or _name(found.get("request_id")),
        latency_s,
        ttft_s,
    )


def find_error(found: Any) -> ErrorSaid | None:
    """The error in an answer's JSON, however the server wraps it; None when there is none.

    `{"error": {...}}` as in the seed; `{"error": "text"}`; `{"code", "message", "request_id"}` as
    in the provider's own protocol; `{"detail": ...}` from frameworks in front of a model.
    """
    if not isinstance(found, dict):
        return None
    inner = found.get("error")
    if not inner:
        if found.get("choices"):
            return None
        inner = found if found.get("message") or found.get("code") else found.get("detail")
    if not inner:
        return None
    request_id = _name(found.get("request_id") or found.get("id"))
    if not isinstance(inner, dict):
        return ErrorSaid("", inner if isinstance(inner, str) else _json_text(inner), request_id)
    code, message = inner.get("code") or inner.get("type") or "", inner.get("message") or ""
    return ErrorSaid(
        str(code), message if isinstance(message, str) else _json_text(message), request_id
    )


def first_words(body: bytes) -> str:
    """What a person needs of a page or a text that is no JSON: its title, else its first line."""
    title = _TITLE.search(body)
    if title:
        line = " ".join(_without_tags(title[1]).split())
    else:
        plain = _without_tags(body) if body.lstrip().startswith(b"<") else ""
        line = next(iter((plain or body.decode("utf-8", "replace").strip()).splitlines()), "")
    return line if len(line) <= _WORDS else line[:_WORDS] + "..."


def _without_tags(page: bytes) -> str:
    return _TAG.sub(b"", page).decode("utf-8", "replace").strip()


def _text(message: dict[str, Any], tool_calls: object) -> str | None:
    text = _joined(message.get("content"))
    if not text and not tool_calls:
        return _joined(message.get("refusal")) or ""
    # Some servers send "" beside tool calls; there is no completion then.
    return text or None


def _joined(content: object) -> str | None:
    """Content as text; a list of parts gives its texts, joined."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return _json_text(content)
    parts = (part.get("text") if isinstance(part, dict) else part for part in content)
    return "".join(part for part in parts if isinstance(part, str))


def _detail(found: dict[str, Any], details: str, name: str) -> int:
    inner = found.get(details)
    return (_whole(inner.get(name)) or 0) if isinstance(inner, dict) else 0


def _whole(value: object) -> int | None:
    """A number that fits the output's int64 columns."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) < _TOO_BIG else None


def _name(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _json_text(value: object) -> str:
    return orjson.dumps(value).decode()
