"""A server that is not the bottleneck: one fixed answer, plain or streamed, whatever is posted.

Enough of HTTP/1.1 for a keep-alive client that sends Content-Length, and no more. `--notes FILE`:
it appends there when it was first asked by each client, seconds since the epoch. `--refusing`:
whatever is posted for the first time is throttled (429), so that half of all attempts fail and
none fails twice.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import orjson
import uvloop

_ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion",
        "created": 1795500000,
        "model": "qwen-plus",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "A reply of usual length. " * 14},
            }
        ],
        "usage": {"prompt_tokens": 150, "completion_tokens": 80, "total_tokens": 230},
    }
)
_REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: 0\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
)

_TOO_FAST = orjson.dumps({"error": {"code": "limit_requests", "message": "Too many requests."}})
_REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nx-request-id: 0\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_FAST), _TOO_FAST)
)

_HEAD = {"id": "chatcmpl-benchmark", "created": 1795500000, "model": "qwen-plus"}
_PIECES = 14


def _chunk(choices: list[dict[str, object]], **more: object) -> bytes:
    event = b"data: %b\n\n" % orjson.dumps({**_HEAD, "choices": choices, **more})
    return b"%x\r\n%b\r\n" % (len(event), event)


_PIECE = _chunk([{"index": 0, "delta": {"content": "A reply of usual length. "}}])
_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: 0\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
    + _PIECE * _PIECES
    + _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _chunk([], usage={"prompt_tokens": 150, "completion_tokens": 80, "total_tokens": 230})
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class Guests:
    """One client after the other, each with many connections: when did it first ask?"""

    def __init__(self, notes: Path | None) -> None:
        self._notes = notes
        self._connections = 0
        self.waiting = False  # for the first request of a client that has come

    def come(self) -> None:
        self.waiting = self.waiting or (self._connections == 0 and self._notes is not None)
        self._connections += 1

    def go(self) -> None:
        self._connections -= 1

    def asked(self) -> None:
        self.waiting = False
        assert self._notes is not None
        with self._notes.open("a") as file:
            file.write(f"{time.time()}\n")


class Answering(asyncio.Protocol):
    """One connection: counts whole requests by their Content-Length and answers each."""

    def __init__(self, latency_s: float, guests: Guests, asked: set[int] | None) -> None:
        self._latency_s = latency_s
        self._guests = guests
        self._asked = asked  # bodies that have been refused and not come again; None: refuse none
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._guests.come()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._guests.go()

    def data_received(self, data: bytes) -> None:
        if self._guests.waiting:
            self._guests.asked()
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body, self._buffer = self._buffer[: end + 4 + size], self._buffer[end + 4 + size :]
            answer = self._answer_to(body)
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._answer, answer)
            else:
                self._answer(answer)

    def _answer_to(self, body: bytes) -> bytes:
        if self._asked is not None:
            asked = hash(body)
            if asked not in self._asked:
                self._asked.add(asked)
                return _REFUSAL
            self._asked.remove(asked)
        return _STREAM if b'"stream":true' in body else _REPLY

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)  # type: ignore[attr-defined]


async def main(latency_s: float, notes: Path | None, *, refusing: bool) -> None:
    loop, guests = asyncio.get_running_loop(), Guests(notes)
    asked: set[int] | None = set() if refusing else None
    server = await loop.create_server(
        lambda: Answering(latency_s, guests, asked), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("latency_s", type=float, nargs="?", default=0.0)
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--refusing", action="store_true")
    given = parser.parse_args()
    uvloop.run(main(given.latency_s, given.notes, refusing=given.refusing))
