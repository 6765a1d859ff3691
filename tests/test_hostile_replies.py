"""Whatever a server sends, plain or in pieces: a reply or one of our errors, and it can be kept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.bill import Bill
from runner.client.answer import from_body, read_answer
from runner.client.following import Following
from runner.client.foreign import Route
from runner.errors import AttemptFailed
from runner.journal import cleaned, decode_line, encode_line
from runner.records import Reply, Request
from runner.verdict import judge

ROUTE = Route("host:443", None, 10, 600, 600, 120, key="sk-secret-0123456789")
REQUEST = Request(row=7, body=b"{}", key="0" * 32, model="qwen-plus")

_words = st.sampled_from(
    ["choices", "message", "delta", "content", "usage", "error", "code", "index", "tool_calls",
     "finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "id", "function",
     "[DONE]", "prompt_tokens_details", "cached_tokens", "reasoning_content", "logprobs",
     "created", "model",
     "name", "arguments", "<|im_end|>", "\x00", "\ud800", "1e999", ""]
)  # fmt: skip
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | _words
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=5)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)
# Almost a completion: every place may hold anything.
_choice = st.fixed_dictionaries(
    {},
    optional={
        "index": _values,
        "finish_reason": _values,
        "message": _values | st.dictionaries(_words, _values, max_size=4),
        "delta": _values | st.dictionaries(_words, _values, max_size=4),
        "logprobs": _values,
    },
)
_completion = st.fixed_dictionaries(
    {},
    optional={
        "choices": _values | st.lists(_choice, max_size=3),
        "usage": _values | st.dictionaries(_words, _values, max_size=5),
        "id": _values,
        "created": _values,
        "model": _values,
        "error": _values,
    },
)
_json = (_completion | _values).map(lambda value: json.dumps(value).encode("utf-8", "replace"))
_bodies = (
    _json | st.binary(max_size=60) | st.builds(lambda one, at: one[:at], _json, st.integers(0, 99))
)


@dataclass
class Content:
    """A body that comes in pieces."""

    pieces: list[bytes]

    async def readany(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@dataclass
class Response:
    """As much of an aiohttp response as is looked at."""

    pieces: list[bytes]
    status: int = 200
    reason: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.content = Content([piece for piece in self.pieces if piece])


class NoHurry:
    """A deadline that never comes."""

    due_s = 1e9

    def allow(self, seconds: float, *, until_s: float = 0.0) -> None:
        del seconds, until_s


def must_be_ours(found: Any) -> None:
    """A reply that can be kept as it is, or an error that can be judged and kept."""
    bill = Bill("USD", attempts=1)
    if isinstance(found, Reply):
        if found.usage is not None:
            bill.add(found.usage, 1)
        result = cleaned(bill.succeeded(REQUEST, found))
    else:
        assert isinstance(found, AttemptFailed)
        verdict = judge(found, dashscope=True)
        result = cleaned(
            bill.failed(
                7, "", error_type=verdict.error_type, message=verdict.message, code=verdict.code,
                rejected=found.partial,
            )
        )  # fmt: skip
    assert decode_line(encode_line(result)) == result


@given(_bodies)
def test_any_body_is_a_reply_or_an_error_of_ours(body: bytes) -> None:
    must_be_ours(from_body(body, Response([]), ROUTE, latency_s=0.1))  # type: ignore[arg-type]


@given(_bodies, st.sampled_from([200, 204, 302, 400, 401, 403, 404, 429, 500, 503, 999]))
def test_any_answer_with_any_status_is_one_too(body: bytes, status: int) -> None:
    answer = read_answer(Response([body], status=status), ROUTE, 0.0)  # type: ignore[arg-type]
    must_be_ours(asyncio.run(answer))


@given(
    st.lists(_bodies | st.just(b"[DONE]"), max_size=5),
    st.sampled_from([b"data: ", b"data:", b"", b": ", b"event: x\ndata: "]),
    st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n", b""]),
    st.integers(1, 40),
)
def test_any_stream_in_any_pieces_is_one_too(
    events: list[bytes], start: bytes, end: bytes, size: int
) -> None:
    raw = b"".join(start + event + end for event in events)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    response = Response(pieces)
    found = asyncio.run(Following(ROUTE, 0.0).follow(response, NoHurry()))  # type: ignore[arg-type]
    must_be_ours(found)
