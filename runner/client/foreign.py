"""Which of our errors is this exception of aiohttp's, asyncio's or the system's?

The one edge where foreign exceptions become ours; the texts carry host and reason, never a header.
"""

from __future__ import annotations

import errno
import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from runner.client.reply import mended
from runner.errors import AnsweredError, IncompleteReply, TimedOut, Unreachable, Untrusted

if TYPE_CHECKING:
    from runner.errors import AttemptFailed
    from runner.records import Reply

# TimeoutError, ConnectionError, gaierror and SSLError are all OSErrors. UnicodeError: a host name
# that cannot be encoded. EOFError: a TLS peer that closed without saying so.
FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError, EOFError)

PROXY_REFUSED = "proxy_refused"  # our code for a proxy's own 4xx, which is not the provider's


@dataclass(frozen=True, slots=True)
class Route:
    """Where attempts go and how long they may take. Made by `client` once a run."""

    endpoint: str  # host and port
    proxy: str | None  # its address, without credentials
    connect_timeout_s: float
    timeout_s: float  # of a whole attempt
    first_chunk_s: float  # until a streamed answer's first token
    idle_s: float  # between its pieces, from then on
    key: str = field(repr=False)

    def hide(self, text: str) -> str:
        """`text` without the key, which some servers repeat in their errors."""
        return text.replace(self.key, "[key]")


def before_answer(
    error: BaseException, route: Route, *, issuer: str | None = None
) -> AttemptFailed:
    """What went wrong before the first line of an answer had come."""
    where = _where(route)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return Unreachable(f"no connection to {where} within {route.connect_timeout_s:g} s")
        case TimeoutError() if error.errno is None:
            return too_late(route)
        case ssl.SSLCertVerificationError():
            return _untrusted(error, route, issuer)
        case aiohttp.ClientConnectorError():
            return _unconnected(error, route)
        case aiohttp.ClientHttpProxyError():
            return _proxy_refused(error, route)
        case aiohttp.ServerDisconnectedError():
            return _sent(Unreachable(f"{where} closed the connection before it answered"))
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return _sent(Unreachable(f"{where} answered with something that is not HTTP"))
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return Unreachable(f"{route.endpoint} is no address that can be asked")
        case _:
            return _sent(Unreachable(f"the connection to {where} broke: {_reason(error)}"))


def _sent(error: Unreachable) -> Unreachable:
    error.was_sent = True
    return error


def within_answer(
    error: BaseException, route: Route, *, text: str = "", partial: Reply | None = None
) -> IncompleteReply:
    """What went wrong after an answer had begun; `text` is its beginning."""
    words = f"the answer of {route.endpoint} broke off: {_reason(error)}"
    cut = IncompleteReply(words, text=text, partial=partial)
    cut.broke_off = not isinstance(error, OverflowError)
    return cut


def too_late(route: Route, *, partial: Reply | None = None) -> TimedOut:
    """The whole time allowed for an attempt has passed."""
    words = f"no complete answer from {route.endpoint} within {route.timeout_s:g} s"
    return TimedOut(words, partial=partial)


def is_certificate_error(error: BaseException) -> bool:
    """Whether it would help to know the certificate's issuer."""
    return isinstance(error, ssl.SSLCertVerificationError)


def _unconnected(error: aiohttp.ClientConnectorError, route: Route) -> Unreachable:
    reason = _reason(error.os_error)
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Unreachable(f"the name {error.host} cannot be resolved: {reason}")
        case aiohttp.ClientProxyConnectionError():
            return Unreachable(f"no connection to the proxy {route.proxy}: {reason}")
        case aiohttp.ClientSSLError():
            return Unreachable(f"no TLS with {_where(route)}: {reason}; is its address http://...?")
        case _:
            return Unreachable(f"no connection to {_where(route)}: {reason}")


def _proxy_refused(error: aiohttp.ClientHttpProxyError, route: Route) -> AttemptFailed:
    words = f"{error.status} {mended(error.message)}"
    if 400 <= error.status < 500:
        text = f"the proxy {route.proxy} does not let us through to {route.endpoint}: {words}"
        return AnsweredError(error.status, PROXY_REFUSED, text, headers={})
    return Unreachable(f"the proxy {route.proxy} does not reach {route.endpoint}: {words}")


def _untrusted(error: ssl.SSLCertVerificationError, route: Route, issuer: str | None) -> Untrusted:
    inner = getattr(error, "certificate_error", error)
    why = getattr(inner, "verify_message", None) or _reason(inner)
    by = f" (issued by '{issuer}')" if issuer else ""
    return Untrusted(
        f"the certificate of {route.endpoint}{by} is not trusted: {why.rstrip('.')}. If your "
        f"network inspects TLS, or the server has an authority of its own, give that one's "
        f"certificate with --ca-file FILE.pem"
    )


def _where(route: Route) -> str:
    return f"{route.endpoint} through the proxy {route.proxy}" if route.proxy else route.endpoint


def _reason(error: BaseException) -> str:
    """The system's words where there are some; never aiohttp's own, which may hold headers."""
    number = getattr(error, "errno", None)
    if number in {errno.EMFILE, errno.ENFILE}:
        return f"{os.strerror(number)}; lower --concurrency or raise 'ulimit -n'"
    if isinstance(error, OverflowError):
        return "it is longer than anything that a model answers"
    if isinstance(error, ssl.SSLError):
        return getattr(error, "reason", "").replace("_", " ").lower() or "handshake failed"
    if number and number > 0:
        return os.strerror(number)
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection closed before its end, or its encoding is damaged"
    return type(error).__name__
