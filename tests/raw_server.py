"""A server that answers every request with the bytes it was given, cut as it was given them."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Then(Enum):
    """What a server does in place of more bytes."""

    HANGS = auto()  # says nothing more, keeps the connection
    DROPS = auto()  # breaks the connection


@dataclass
class RawServer:
    """`heads` and `bodies` are the requests so far, `connections` how many it took for them."""

    pieces: tuple[bytes | Then, ...]
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # a request has come

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                lengths = [
                    int(line.partition(":")[2])
                    for line in head.lower().split("\r\n")
                    if line.startswith("content-length:")
                ]
                self.bodies.append(await reader.readexactly(lengths[0] if lengths else 0))
                self.asked.set()
                await self._say(writer)
                if self._closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def _closes(self) -> bool:
        return any(
            isinstance(piece, bytes) and b"Connection: close" in piece for piece in self.pieces
        )

    async def _say(self, writer: asyncio.StreamWriter) -> None:
        for piece in self.pieces:
            if piece is Then.DROPS:
                writer.transport.abort()
                raise ConnectionResetError
            if piece is Then.HANGS:
                await asyncio.get_running_loop().create_future()
            elif isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
                # Gives the reader a turn, so that pieces arrive as they were cut.
                await asyncio.sleep(0)


@asynccontextmanager
async def raw_server(
    *pieces: bytes | Then, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Runs one on the loopback for as long as the block does."""
    state = RawServer(pieces, scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await state.answer(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: r-1\r\n"
    b"Connection: close\r\n\r\n"
)


def loopback_tls() -> ssl.SSLContext:
    """A certificate for the loopback, issued by the authority in loopback_ca.pem."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("loopback.pem"))
    return context
