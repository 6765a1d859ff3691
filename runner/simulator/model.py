"""What the stand-in model says: the answer that belongs to a prompt, and what it counts as.

Everything here is a pure function of the request, so that a test can tell which completion belongs
to which row, and a mix-up of rows shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import orjson

from runner.simulator.tools import instance_of, tool_calls_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Sentences per answer for 256 equally likely ranks: log-normal, so that a few answers are twenty
# times as long as the median one, as real ones are.
_SENTENCES_AT_RANK: Final = tuple(
    max(1, round(3.0 * 2.718281828 ** (1.05 * NormalDist().inv_cdf((rank + 0.5) / 256))))
    for rank in range(256)
)
_SUBJECTS = ("The gate", "Each row", "A careful reader", "This answer", "The river", "Our model")
_VERBS = ("passes", "keeps", "compares", "measures", "explains", "follows")
_OBJECTS = ("the whole flow", "one question at a time", "what was asked", "the order of the rows")
_CLAUSES = (
    "as expected",
    "without haste",
    "twice if needed",
    "so that nothing is lost",
    "at night",
)
_SUBJECTS_ZH = ("闸门", "每一行", "细心的读者", "这个回答", "河流", "模型")
_VERBS_ZH = ("通过", "保留", "比较", "测量", "解释", "遵循")
_OBJECTS_ZH = ("全部的水流", "一个接一个的问题", "所问的内容", "各行的顺序")
_CLAUSES_ZH = ("正如预期", "不慌不忙", "必要时重复", "因此什么也不会丢失", "在夜里")
_NO_BOUND: Final = 1 << 30
# The token ids that the seed document spells out ("stop" parameter, qwen-turbo's vocabulary).
_TEXT_OF_TOKEN: Final = {
    108386: "你好", 104307: "天气", 103924: "啊", 35946: "我", 101243: "很好",
}  # fmt: skip


def _make_book() -> list[str]:
    dice = Random(20251111)  # noqa: S311 - the same book on every machine, nothing secret
    book = []
    for number in range(512):
        if number % 4 == 3:  # a quarter is Chinese
            words = [dice.choice(part) for part in (_SUBJECTS_ZH, _VERBS_ZH, _OBJECTS_ZH)]
            book.append("".join(words) + "，" + dice.choice(_CLAUSES_ZH) + "。")
        else:
            words = [dice.choice(part) for part in (_SUBJECTS, _VERBS, _OBJECTS, _CLAUSES)]
            book.append(" ".join(words) + ". ")
    return book * 2  # so that a slice from any start needs no wrapping


_BOOK: Final = _make_book()


def text_of(content: object) -> str:
    """The text of a message's content: a string, or the text parts of an array."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def last_user_text(messages: Sequence[dict[str, Any]]) -> str:
    """The text of the last message whose role is user; empty if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def answer_to(messages: list[dict[str, Any]], *, seed: int = 0) -> str:
    """The completion that belongs to these messages, before `max_tokens` and `stop` cut it.

    It starts with `[DIGEST]`, 12 hex digits of BLAKE2b over the last user message, and goes on with
    sentences (a quarter of them Chinese) that depend on every message's role and text and on the
    seed. Choice number i of a request with `n` is `answer_to(messages, seed=seed + i)`.
    """
    whole = blake2b(digest_size=8, key=seed.to_bytes(16, "little", signed=True))
    for message in messages:
        whole.update(f"{message.get('role')}\0{text_of(message.get('content'))}\0".encode())
    drawn = int.from_bytes(whole.digest(), "little")
    start, count = drawn & 511, _SENTENCES_AT_RANK[drawn >> 9 & 255]
    question = blake2b(last_user_text(messages).encode(), digest_size=6).hexdigest()
    return f"[{question}] " + "".join(_BOOK[start : start + count]).rstrip()


def reasoning_for(messages: list[dict[str, Any]], *, seed: int = 0) -> str:
    """The chain of thought that comes before the answer of a thinking model."""
    return "Let me think. " + answer_to(messages, seed=seed ^ 0x5EED)[15:]


def tokens_by_bytes(text: str) -> int:
    """Tokens of a text by a rule: one for every started 4.7 bytes of UTF-8.

    Cheap and deterministic, and near the truth: PROVIDER facts measured with Qwen's vocabulary,
    97 English bytes and 99 Chinese ones, 21 tokens each.
    """
    size = len(text) if text.isascii() else len(text.encode())
    return (10 * size + 46) // 47


def prompt_tokens(body: dict[str, Any], count: Callable[[str], int]) -> int:
    """Input tokens of a request: each message's and 5, and 3 (ChatML); tools as their JSON."""
    total = 3
    for message in body["messages"]:
        total += 5 + count(text_of(message.get("content")))
        if message.get("tool_calls"):
            total += count(orjson.dumps(message["tool_calls"]).decode())
    if body.get("tools"):
        total += count(orjson.dumps(body["tools"]).decode())
    return total


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a reply's choices. Made here, consumed by `simulated_reply`."""

    content: str
    reasoning: str | None  # None: the model did not think
    tool_calls: list[dict[str, Any]] | None
    finish_reason: str  # stop, length or tool_calls
    answer_tokens: int
    reasoning_tokens: int


def choose(
    body: dict[str, Any], *, index: int, seed: int, count: Callable[[str], int], thinks: bool
) -> Choice:
    """Choice number `index` of the reply to `body`, cut by its `stop` and `max_tokens`."""
    messages = body["messages"]
    reasoning = reasoning_for(messages, seed=seed + index) if thinks else None
    if reasoning is not None:
        reasoning = _first_tokens(reasoning, _most_thought(body), count)
    thought = count(reasoning) if reasoning else 0
    calls = tool_calls_for(body, last_user_text(messages))
    if calls is not None:
        spent = count(orjson.dumps(calls).decode())
        return Choice("", reasoning, calls, "tool_calls", spent, thought)
    content = _formatted(body, answer_to(messages, seed=seed + index))
    reason = "stop"
    if body.get("stop"):
        content = _before_stop(content, body["stop"])
    limit = body.get("max_tokens")
    if isinstance(body.get("max_completion_tokens"), int):
        limit = max(1, body["max_completion_tokens"] - thought)
    spent = count(content)
    if isinstance(limit, int) and spent > limit:
        content, reason = _first_tokens(content, limit, count), "length"
        spent = count(content)
    return Choice(content, reasoning, None, reason, spent, thought)


def _most_thought(body: dict[str, Any]) -> int:
    """thinking_budget, or what max_completion_tokens leaves; it keeps a token for the answer."""
    whole = body.get("max_completion_tokens")
    bounds = [body.get("thinking_budget"), whole - 1 if isinstance(whole, int) else None]
    return min((bound for bound in bounds if isinstance(bound, int)), default=_NO_BOUND)


def _formatted(body: dict[str, Any], answer: str) -> str:
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        schema = (wanted or {}).get("json_schema", {}).get("schema", {})
        return orjson.dumps(instance_of(schema, answer)).decode()
    if kind == "json_object":
        return orjson.dumps({"answer": answer}).decode()
    return answer


def _before_stop(content: str, stop: object) -> str:
    words = stop if isinstance(stop, list) else [stop]
    found = len(content)
    for word in words:
        ids = word if isinstance(word, list) else [word]
        text = "".join(_TEXT_OF_TOKEN.get(i, "") if isinstance(i, int) else str(i) for i in ids)
        place = content.find(text) if text else -1
        found = min(found, place) if place >= 0 else found
    return content[:found]


def _first_tokens(content: str, limit: int, count: Callable[[str], int]) -> str:
    """The longest prefix that counts as at most `limit` tokens, by bisection."""
    low, high = 0, len(content)
    while low < high:
        middle = (low + high + 1) // 2
        if count(content[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return content[:low]
