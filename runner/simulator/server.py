"""A stand-in server that speaks the provider's protocol, limits and errors included.

    request   key and shape -> limits -> scenario and error shares -> the provider's rules -> answer
    besides   GET .../models, GET /_stats, GET /_log, POST /_reset

It never reaches out: it only answers. What it answers is decided in `simulated_desk`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from runner.errors import MachineFault
from runner.simulator.desk import Desk, Verdict
from runner.simulator.error_lines import error_lines
from runner.simulator.lateness import Lateness
from runner.simulator.log import DROPPED, GONE, Asked, SimulatorLog
from runner.simulator.trouble import Wire, error_wire
from runner.simulator.wire import send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import StreamReader
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import RawRequestMessage
    from aiohttp.web_protocol import RequestHandler

    from runner.simulator.settings import SimulatorSettings

_PREFIXES: Final = ("/compatible-mode/v1", "/v1")
_CHAT: Final = frozenset(f"{prefix}/chat/completions" for prefix in _PREFIXES)
_MODELS: Final = frozenset(f"{prefix}/models" for prefix in _PREFIXES)
_LISTED_MODELS: Final = ("qwen-plus", "qwen-flash", "qwen-max", "qwen-turbo", "qwq-32b")
_READ_MOST_BYTES: Final = 64 * 1024 * 1024  # base64 included, as the provider
_BACKLOG: Final = 4_096  # a thousand workers may connect at once
_WAIT_HEADER: Final = "X-DashScope-Wait-Timeout"  # seconds that the server may queue a burst
_WAIT_MOST_S: Final = 120.0


class Simulator:
    """A running stand-in server; `serve` makes it."""

    def __init__(self, settings: SimulatorSettings, log_file: IO[bytes] | None = None) -> None:
        self.settings = settings
        self.base_url = ""  # ends with /compatible-mode/v1; known once it listens
        self._clock = asyncio.get_running_loop().time
        self._log = SimulatorLog(settings, epoch_s=time.time() - self._clock(), file=log_file)
        self._desk = Desk(settings, self._log)
        self._closed = asyncio.Event()
        self._lateness = Lateness()

    def stats(self) -> dict[str, Any]:
        """What `GET /_stats` answers."""
        return {**self._log.stats(), "late_s": round(self._lateness.largest_s, 6)}

    def reset(self) -> None:
        """Forget every request: log, limits, scenario counts."""
        self._log.reset()
        self._lateness.reset()
        self._desk = Desk(self.settings, self._log)

    def close(self) -> None:
        """Let go of the requests that were never to be answered."""
        self._closed.set()
        self._lateness.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request, whatever it is."""
        path, method = request.raw_path.partition("?")[0], request.method
        if path in _CHAT and method == "POST":
            return await self._chat(request)
        if path in _MODELS and method == "GET":
            if not self._key_fits(request):
                return await _refuse(request, "invalid_api_key")
            return _json(self._model_list())
        if (method, path) == ("GET", "/_stats"):
            return _json(orjson.dumps(self.stats()))
        if (method, path) == ("GET", "/_log"):
            wire = Wire(200, "application/x-ndjson", list(self._log.lines()), {}, streamed=True)
            return await send(request, wire)
        if (method, path) == ("POST", "/_reset"):
            self.reset()
            return _json(b'{"reset":true}')
        known = path in _CHAT or path in _MODELS
        return await _refuse(request, "method_not_allowed" if known else "path_not_found")

    def _key_fits(self, request: web.BaseRequest) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return False
        return self.settings.key is None or key.strip() == self.settings.key

    def _model_list(self) -> bytes:
        names = self.settings.models or _LISTED_MODELS
        data = [{"id": n, "object": "model", "created": 0, "owned_by": "system"} for n in names]
        return orjson.dumps({"object": "list", "data": data})

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        # The time after reading, so that arrivals never step back in the log.
        desk, asked = self._desk, self._desk.receive(raw, self._clock())
        verdict = desk.turn_away(asked, key_fits=self._key_fits(request))
        if verdict is None:
            verdict = await self._throttle(request, desk, asked) or desk.decide(asked)
        status = GONE  # until it is sent; a reply that nobody waited for is billed all the same
        try:
            response = await self._deliver(request, asked, verdict)
            status = DROPPED if verdict.how in ("drop", "hang") else verdict.wire.status
        finally:
            desk.end(asked, verdict, self._clock(), status=status)
        return response

    async def _throttle(self, request: web.BaseRequest, desk: Desk, asked: Asked) -> Verdict | None:
        """The throttling answer, after queueing a burst as long as its header allows."""
        verdict = desk.throttle(asked, asked.arrived_s)
        if verdict is None or _WAIT_HEADER not in request.headers:
            return verdict
        try:
            patience_s = min(_WAIT_MOST_S, float(request.headers[_WAIT_HEADER]))
        except ValueError:
            return verdict
        while verdict is not None and verdict.label.endswith("limit_burst_rate"):
            pause_s = desk.burst_over_in_s(asked, self._clock())
            if self._clock() + pause_s > asked.arrived_s + patience_s:
                break
            await asyncio.sleep(max(0.001, pause_s))
            verdict = desk.throttle(asked, self._clock())
        return verdict

    async def _deliver(
        self, request: web.BaseRequest, asked: Asked, verdict: Verdict
    ) -> web.StreamResponse:
        if verdict.how == "hang":
            await self._closed.wait()
        if verdict.delay_s and not verdict.wire.streamed:
            await asyncio.sleep(verdict.delay_s)
        if verdict.how in ("drop", "hang"):
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        return await send(
            request, verdict.wire, request_id=asked.request_id, delay_s=verdict.delay_s
        )


@asynccontextmanager
async def serve(settings: SimulatorSettings) -> AsyncIterator[Simulator]:
    """A stand-in server in the running loop, listening while the block runs.

    Raises MachineFault when the port or the log file cannot be had.
    """
    loop = asyncio.get_running_loop()
    log_file = _open_log(settings)
    simulator = Simulator(settings, log_file)
    server = web.Server(
        simulator.handle, request_factory=_request, handler_cancellation=True, access_log=None
    )
    try:
        listener = await loop.create_server(
            server, settings.host, settings.port, backlog=_BACKLOG, reuse_address=True
        )
    except OSError as error:
        if log_file is not None:
            log_file.close()
        where = f"--host {settings.host} --port {settings.port}"
        raise MachineFault(f"{where}: cannot listen there: {error.strerror or error}") from None
    host, port = listener.sockets[0].getsockname()[:2]
    simulator.base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}{_PREFIXES[0]}"
    try:
        yield simulator
    finally:
        listener.close()
        simulator.close()
        await server.shutdown(timeout=0.2)
        if log_file is not None:
            log_file.close()


def _open_log(settings: SimulatorSettings) -> IO[bytes] | None:
    if settings.log_path is None:
        return None
    try:
        # Unbuffered: a test reads it while the server runs, and nothing is lost by a kill.
        return settings.log_path.open("ab", buffering=0)
    except OSError as error:
        raise MachineFault(f"--log {settings.log_path}: {error.strerror}") from None


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    # aiohttp's own limit is 1 MiB; the provider takes 16, and says in its own words what is more.
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_READ_MOST_BYTES
    )


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


async def _refuse(request: web.BaseRequest, name: str) -> web.StreamResponse:
    await request.read()
    request_id = str(uuid.uuid4())
    wire = error_wire(error_lines()[name], request_id=request_id, model="")
    return await send(request, wire, request_id=request_id)
