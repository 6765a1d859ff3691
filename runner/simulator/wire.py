"""Sending one response: whole at once, in pieces over time, or broken off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from runner.simulator.trouble import Wire

_FIRST_SHARE: Final = 0.25  # of a streamed reply's latency: until its first event
_SLICES: Final = 4  # that the rest of a delayed stream comes in


async def send(
    request: web.BaseRequest, wire: Wire, *, request_id: str = "", delay_s: float = 0.0
) -> web.StreamResponse:
    """Send `wire`; a stream spreads over `delay_s`, cut anywhere, as a network would cut it."""
    headers = {**wire.headers, "Content-Type": wire.content_type}
    if request_id:
        headers["x-request-id"] = request_id
    if not wire.streamed and not wire.broken:
        return web.Response(status=wire.status, body=wire.pieces[0], headers=headers)
    return await _send_parts(request, wire, headers, delay_s)


async def _send_parts(
    request: web.BaseRequest, wire: Wire, headers: dict[str, str], delay_s: float
) -> web.StreamResponse:
    response = web.StreamResponse(status=wire.status, headers=headers)
    pieces = wire.pieces
    if wire.streamed:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(pieces[0])
        pieces = [pieces[0][: len(pieces[0]) // 2]]
    transport = request.transport
    if delay_s:
        await asyncio.sleep(delay_s * _FIRST_SHARE)
    await response.prepare(request)
    if delay_s:
        await _write_slowly(response, pieces, delay_s * (1 - _FIRST_SHARE))
    else:
        await response.write(b"".join(pieces))
    if wire.broken and transport is not None:
        transport.close()
    return response


async def _write_slowly(response: web.StreamResponse, pieces: list[bytes], rest_s: float) -> None:
    await response.write(pieces[0])
    rest = b"".join(pieces[1:])
    size = max(1, -(-len(rest) // _SLICES))
    for start in range(0, len(rest), size):
        await asyncio.sleep(rest_s / _SLICES)
        await response.write(rest[start : start + size])
