"""When does a request go out? Once it has a connection, which may take its time."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection


def nobody_asks() -> None:
    """For requests that nobody wants to see leave."""


# Whom to tell. A context's variable, since aiohttp makes the request where it cannot be handed on.
leaves: ContextVar[Callable[[], None]] = ContextVar("leaves", default=nobody_asks)


class LeavingRequest(aiohttp.ClientRequest):
    """Calls `leaves` when it has a connection and goes out."""

    async def write_bytes(
        self,
        writer: AbstractStreamWriter,
        conn: Connection,
        content_length: int | None = None,
    ) -> None:
        """Write the body, as aiohttp does."""
        leaves.get()()
        await super().write_bytes(writer, conn, content_length)
