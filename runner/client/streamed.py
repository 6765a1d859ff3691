"""How do the chunks of a streamed answer become one completion object?

Chunk shapes: seed, "流式調用樣本"; reasoning before content, usage in a last chunk without choices:
alibabacloud.com/help/en/model-studio/stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runner.client.reply import ErrorSaid, find_error, load_odd_json, mend, read_reply, read_usage

if TYPE_CHECKING:
    from runner.records import Reply


class StreamedReply:
    """Joins chunks. `begun`: something of the answer is here. `done`: `[DONE]` has come."""

    def __init__(self) -> None:
        self.begun = False
        self.done = False
        self.error: ErrorSaid | None = None  # an error event in the stream; nothing counts after it
        self._head: dict[str, Any] = {}  # id, model and created, from the first chunk with each
        self._choices: dict[int, _Choice] = {}
        self._usage: object = None
        self._odd = False  # a text may hold half a surrogate pair

    def add(self, data: bytes) -> None:
        """Takes the data of one event. Raises ValueError when it is no JSON."""
        if data == b"[DONE]":
            self.done = True
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            # Not mended yet: the other half of a character may be in the next chunk.
            chunk = load_odd_json(data)
            self._odd = True
        if not isinstance(chunk, dict):
            return
        self.error = find_error(chunk)
        if self.error is not None:
            return
        if usage := chunk.get("usage"):
            self._usage = usage
        for name in ("id", "model", "created", "request_id"):
            if name not in self._head and (value := chunk.get(name)):
                self._head[name] = value
        for piece in chunk.get("choices") or ():
            self._add_choice(piece)

    def _add_choice(self, piece: dict[str, Any]) -> None:
        index = piece.get("index")
        if not isinstance(index, int):
            index = 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        if choice.add(piece):
            self.begun = True

    @property
    def ended(self) -> bool:
        """Whether nothing of the answer is missing, apart from its usage."""
        if not self._choices:
            return False
        return self.done or all(choice.finish_reason for choice in self._choices.values())

    def reply(
        self, *, request_id: str | None, latency_s: float, ttft_s: float | None
    ) -> Reply | None:
        """What has come so far, as one Reply; None when nothing has."""
        if not self._choices and read_usage(self._usage) is None:
            return None
        choices = [choice.whole(index) for index, choice in sorted(self._choices.items())]
        found = {**self._head, "choices": choices or [{"index": 0}], "usage": self._usage}
        if self._odd:
            found = mend(found)
        return read_reply(found, request_id=request_id, latency_s=latency_s, ttft_s=ttft_s)


class _Choice:
    """One of the `n` answers, growing."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._role = "assistant"
        self._texts: dict[str, list[str]] = {}  # by field: content, reasoning_content, refusal
        self._slots: dict[int, dict[str, Any]] = {}  # tool calls by their index
        self._logprobs: dict[str, list[Any]] = {}

    def add(self, piece: dict[str, Any]) -> bool:
        """Whether `piece` brought something of the answer itself."""
        self.finish_reason = piece.get("finish_reason") or self.finish_reason
        for name, entries in (piece.get("logprobs") or {}).items():
            self._logprobs.setdefault(name, []).extend(entries or ())
        # A `message` in place of a `delta`: some servers send a whole answer as one chunk.
        delta = piece.get("delta") or piece.get("message") or {}
        self._role = delta.get("role") or self._role
        brought = False
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            if text := delta.get(name):
                brought = True
                self._texts.setdefault(name, []).append(
                    text if isinstance(text, str) else _part_texts(text)
                )
        for call in delta.get("tool_calls") or ():
            brought = True
            self._add_call(call)
        return brought

    def _add_call(self, piece: dict[str, Any]) -> None:
        """Joins by index; servers that leave it out start each call with an id."""
        index = piece.get("index")
        if not isinstance(index, int):
            index = max(self._slots, default=-1) + bool(piece.get("id") or not self._slots)
        call = self._slots.get(index)
        if call is None:
            function = {"name": "", "arguments": ""}
            call = {"id": "", "type": "function", "function": function, "index": index}
            self._slots[index] = call
        call["id"] = call["id"] or piece.get("id") or ""
        call["type"] = piece.get("type") or call["type"]
        function, more = call["function"], piece.get("function") or {}
        # Sent once by most servers, repeated whole with every piece by some.
        if (name := more.get("name")) and name != function["name"]:
            function["name"] += name
        function["arguments"] += more.get("arguments") or ""

    def whole(self, index: int) -> dict[str, Any]:
        """The choice as a plain answer would have it."""
        message: dict[str, Any] = {"role": self._role, "content": None}
        message |= {name: "".join(texts) for name, texts in self._texts.items()}
        if self._slots:
            message["tool_calls"] = [call for _, call in sorted(self._slots.items())]
        return {
            "index": index,
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": self._logprobs or None,
        }


def _part_texts(parts: object) -> str:
    if not isinstance(parts, list):
        return str(parts)
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))
