"""How does a POST leave? Head and body in one write, without a task of its own.

aiohttp builds every request's headers anew and, before Python 3.12, starts a task to write each
body: 24 of the 80 microseconds that a request takes. Here nothing of a request but its body and
that body's length differs from the others', and the body is there from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

from runner.client.leaving import LeavingRequest, leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.connector import Connection
    from yarl import URL


class _WholeRequest(LeavingRequest):
    """Follows aiohttp 3.12 and 3.13. Whatever is no POST goes their own way."""

    same_headers: ClassVar[CIMultiDict[str]]
    same_info: ClassVar[aiohttp.RequestInfo]
    head: ClassVar[bytes]  # up to the length of the body

    _whole: bytes | None = None

    def __init__(self, method: str, url: URL, **given: Any) -> None:
        if method != hdrs.METH_POST:
            super().__init__(method, url, **given)
            return
        # What the connector reads of a request, and `send` below. The rest would be settings that
        # are the same for all, looked at for each.
        self.method = method
        self.url = self.original_url = url
        self.headers = self.same_headers
        self.loop = given["loop"]
        self.response_class = given["response_class"]
        self.server_hostname = given["server_hostname"]
        self.proxy = given["proxy"]
        self.proxy_auth = given["proxy_auth"]
        self.proxy_headers = given["proxy_headers"]
        self._session = given["session"]
        self._ssl = given["ssl"]
        self._timer = given["timer"]
        self._traces = given["traces"]
        self._whole = given["data"]

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        body, protocol = self._whole, conn.protocol
        if body is None or protocol is None:
            return await super().send(conn)
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection is closing")
        leaves.get()()
        transport.write(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))
        protocol.start_timeout()
        return self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.same_info,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
        )


def whole_requests(url: URL, headers: Mapping[str, str]) -> type[aiohttp.ClientRequest]:
    """For aiohttp's `request_class`: its POSTs go to `url` with `headers`, whatever else is said.

    Not for plain HTTP through a proxy, which wants other words in the head.
    """
    constant = CIMultiDict({hdrs.HOST: url.host_port_subcomponent or "", **headers})
    lines = "".join(f"{name}: {value}\r\n" for name, value in constant.items())

    class WholeRequest(_WholeRequest):
        same_headers = constant
        same_info = aiohttp.RequestInfo(url, hdrs.METH_POST, CIMultiDictProxy(constant), url)
        head = f"POST {url.raw_path_qs} HTTP/1.1\r\n{lines}Content-Length: ".encode()

    return WholeRequest
