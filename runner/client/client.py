"""One HTTP call for one request: a Reply, or one of our errors.

It knows no status code's meaning: whatever is no usable completion is raised as it came, and
`runner.verdict` decides. The key is in this module and in the headers, and in no text.
"""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from runner.client.answer import BROKEN, LARGEST_REPLY, read_answer, read_body, read_error
from runner.client.certificate import find_issuer
from runner.client.deadlines import Deadlines
from runner.client.following import Following
from runner.client.foreign import FOREIGN, Route, before_answer, is_certificate_error
from runner.client.leaving import LeavingRequest, nobody_asks
from runner.client.leaving import leaves as told_to
from runner.client.reply import load_json
from runner.client.way_out import find_way_out, make_room_for, open_socket, room_for
from runner.client.whole_request import whole_requests
from runner.errors import AttemptFailed, IncompleteReply, JobError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runner.records import Reply, Request

_STREAM_KEYS = b',"stream":true,"stream_options":{"include_usage":true}}'
_PLAIN_TIMEOUT_S = 600.0  # the provider gives up after 300 or more, and says so
_STREAM_TIMEOUT_S = 3600.0  # its longest answers, thinking included
_LISTING_TIMEOUT_S = 30.0
# Below the minute after which servers and gateways commonly close idle connections: a POST on one
# that is just being closed fails.
_IDLE_CONNECTION_S = 30.0


class Client:
    """Sends requests to one endpoint with one key. An async context manager.

    `stream` asks for each answer in pieces. `timeout_s` limits a whole attempt (None: 600 plain,
    3,600 streamed), `first_chunk_timeout_s` the wait for a streamed answer's first token,
    `idle_timeout_s` the silence after it. `wait_timeout_s` lets the server queue a burst so long
    (X-DashScope-Wait-Timeout, help.aliyun.com/zh/model-studio/rate-limiting-best-practices) and
    lengthens the first two. Raises JobError for a way out that cannot work.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        stream: bool,
        concurrency: int,
        timeout_s: float | None = None,
        connect_timeout_s: float = 10.0,
        first_chunk_timeout_s: float = 600.0,
        idle_timeout_s: float = 120.0,
        ca_file: str | None = None,
        wait_timeout_s: float | None = None,
        user_agent: str = "penstock",
    ) -> None:
        _check_key(key)
        make_room_for(concurrency)
        self.way_out = find_way_out(base_url, ca_file=ca_file)
        self._base_url = base_url.rstrip("/")
        self._url = URL(f"{self._base_url}/chat/completions")
        self._models_url = URL(f"{self._base_url}/models")
        self._stream = stream
        waiting_s = wait_timeout_s or 0.0
        usual_s = _STREAM_TIMEOUT_S if stream else _PLAIN_TIMEOUT_S
        whole_s = (timeout_s or usual_s) + waiting_s
        self._route = Route(
            endpoint=f"{self._url.host}:{self._url.port}",
            proxy=self.way_out.proxy,
            connect_timeout_s=connect_timeout_s,
            timeout_s=whole_s,
            first_chunk_s=min(first_chunk_timeout_s + waiting_s, whole_s),
            idle_s=idle_timeout_s,
            key=key,
        )
        self._headers = _headers(key, user_agent, stream=stream, wait_timeout_s=wait_timeout_s)
        self._issuer: asyncio.Task[str | None] | None = None

    async def __aenter__(self) -> Self:
        shortest_s = min(self._route.first_chunk_s, self._route.idle_s)
        self._deadlines = Deadlines(tick_s=min(1.0, shortest_s / 10))
        connect_s = self._route.connect_timeout_s
        plain_proxied = self.way_out.proxy is not None and self._url.scheme == "http"
        self._session = aiohttp.ClientSession(
            headers=self._headers if plain_proxied else None,
            request_class=LeavingRequest
            if plain_proxied
            else whole_requests(self._url, self._headers),
            connector=aiohttp.TCPConnector(
                limit=0,  # the workers are the limit
                keepalive_timeout=_IDLE_CONNECTION_S,
                ssl=self.way_out.tls or True,
                socket_factory=open_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Deadlines take care of the rest.
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s),
            proxy=self.way_out.proxy,
            proxy_auth=self.way_out.proxy_auth,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.close()
        if self._issuer is not None:
            self._issuer.cancel()
        await self._session.close()

    async def send(self, request: Request, leaves: Callable[[], None] = nobody_asks) -> Reply:
        """The answer to one request. Raises AttemptFailed, and nothing else but a cancellation.

        `leaves` is called when the connection is there and the request goes out.
        """
        told_to.set(leaves)
        if self._stream:
            outcome = await self._ask_streamed(request.body[:-1] + _STREAM_KEYS)
        else:
            outcome = await self._ask_plain(request.body)
        # Raised here, outside of any handler: a foreign exception, which may hold the headers, must
        # not hang on ours as its context.
        if isinstance(outcome, AttemptFailed):
            raise outcome
        return outcome

    @staticmethod
    def make_room_for(concurrency: int) -> None:
        """Get ready for so many at once. Raises JobError when the system forbids it."""
        make_room_for(concurrency)

    @staticmethod
    def room_for(concurrency: int) -> int:
        """How many at once the system allows, up to so many."""
        return room_for(concurrency)

    async def list_models(self) -> list[str]:
        """The models that the key may use, by the endpoint's free listing. Raises AttemptFailed."""
        outcome = await self._ask_listing()
        if isinstance(outcome, AttemptFailed):
            raise outcome
        return outcome

    async def _ask_plain(self, body: bytes) -> Reply | AttemptFailed:
        started_s = monotonic()
        try:
            with self._deadlines.within(self._route.timeout_s):
                response = await self._session.post(self._url, data=body, allow_redirects=False)
                try:
                    return await read_answer(response, self._route, started_s)
                finally:
                    if not response.closed:  # as it is once it has been read to its end
                        response.release()
        except FOREIGN as error:
            return await self._before_answer(error)

    async def _ask_streamed(self, body: bytes) -> Reply | AttemptFailed:
        started_s = monotonic()
        following = Following(self._route, started_s)
        try:
            with self._deadlines.within(self._route.first_chunk_s) as deadline:
                response = await self._session.post(self._url, data=body, allow_redirects=False)
                try:
                    # Some servers answer whole, whatever was asked for.
                    whole = response.headers.get("Content-Type", "").startswith("application/json")
                    if whole or not 200 <= response.status < 300:
                        return await read_answer(response, self._route, started_s)
                    return await following.follow(response, deadline)
                finally:
                    response.release()
        except FOREIGN as error:
            if type(error) is TimeoutError and error.errno is None:
                return following.too_slow()
            return await self._before_answer(error)

    async def _ask_listing(self) -> list[str] | AttemptFailed:
        try:
            with self._deadlines.within(_LISTING_TIMEOUT_S):
                response = await self._session.get(
                    self._models_url, headers=self._headers, allow_redirects=False
                )
                try:
                    if not 200 <= response.status < 300:
                        return await read_error(response, self._route)
                    body, _ = await read_body(response.content, LARGEST_REPLY)
                    return [str(model["id"]) for model in load_json(body)["data"]]
                finally:
                    response.release()
        except FOREIGN as error:
            return await self._before_answer(error)
        except BROKEN:
            return IncompleteReply(f"{self._models_url} answered with no list of models")

    async def _before_answer(self, error: BaseException) -> AttemptFailed:
        issuer = await self._find_issuer() if is_certificate_error(error) else None
        return before_answer(error, self._route, issuer=issuer)

    async def _find_issuer(self) -> str | None:
        """Asked for once a run, however many attempts fail together."""
        if self._issuer is None:
            limit_s = self._route.connect_timeout_s
            looking = find_issuer(self._base_url, self.way_out, timeout_s=limit_s)
            self._issuer = asyncio.create_task(looking)
        return await asyncio.shield(self._issuer)


def _headers(
    key: str, user_agent: str, *, stream: bool, wait_timeout_s: float | None
) -> dict[str, str]:
    """One set for all requests: also what aiohttp would otherwise add to each by itself."""
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if stream else "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": user_agent,
    }
    if wait_timeout_s:
        headers["X-DashScope-Wait-Timeout"] = str(math.ceil(wait_timeout_s))
    return headers


def _check_key(key: str) -> None:
    """Refuses what could not stand in a header; the text must not show it."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise JobError(
            "the API key is empty, or holds a blank, a line break or a character that no key has; "
            "copy it again, without quotes around it"
        )
