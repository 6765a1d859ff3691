"""No exception of aiohttp's, asyncio's or the system's gets past the edge as it is."""

from __future__ import annotations

import errno
import inspect
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from runner.client.foreign import FOREIGN, Route, before_answer, is_certificate_error, within_answer
from runner.errors import (
    AnsweredError,
    AttemptFailed,
    IncompleteReply,
    TimedOut,
    Unreachable,
    Untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-not-a-real-key"
ROUTE = Route("api.example:443", None, 10.0, 600.0, 600.0, 120.0, KEY)
PROXIED = Route("api.example:443", "http://proxy:3128", 10.0, 600.0, 600.0, 120.0, KEY)
CONNECTION = ConnectionKey("api.example", 443, True, True, None, None, None)
HEADERS = CIMultiDictProxy(CIMultiDict({"Authorization": f"Bearer {KEY}"}))
REQUEST = aiohttp.RequestInfo(URL("https://api.example/v1"), "POST", HEADERS, URL("https://e/v1"))
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)")


def all_of(base: type[BaseException]) -> Iterator[type[BaseException]]:
    yield base
    for inner in base.__subclasses__():
        yield from all_of(inner)


def sample(kind: type[BaseException]) -> BaseException:
    """An exception of this kind, with the arguments that its constructor wants."""
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(REQUEST, (), status=400, message="m", headers=HEADERS)
    if issubclass(kind, ssl.SSLError) and issubclass(kind, aiohttp.ClientConnectorError):
        return kind(CONNECTION, ssl.SSLCertVerificationError(1, "certificate verify failed"))
    if issubclass(kind, UnixClientConnectorError):
        return kind("/socket", CONNECTION, REFUSED)
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(CONNECTION, REFUSED)
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"a", b"b", "api.example", 443)
    if issubclass(kind, aiohttp.InvalidURL):
        return kind(f"https://u:{KEY}@h")
    return kind()


AIOHTTP_KINDS = sorted(
    {kind for kind in all_of(aiohttp.ClientError) if kind.__module__.startswith("aiohttp")},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", AIOHTTP_KINDS)
def test_every_client_exception_of_aiohttp_becomes_ours_without_the_key(
    kind: type[BaseException],
) -> None:
    error = sample(kind)
    assert isinstance(error, FOREIGN)
    for ours in (before_answer(error, PROXIED), within_answer(error, PROXIED)):
        assert isinstance(ours, AttemptFailed)
        assert KEY not in f"{ours} {ours!r} {vars(ours)}"


def test_the_walk_over_aiohttps_exceptions_finds_all_that_it_exports() -> None:
    exported = {
        value
        for value in vars(aiohttp).values()
        if inspect.isclass(value) and issubclass(value, aiohttp.ClientError)
    }
    assert exported
    assert exported <= set(AIOHTTP_KINDS)


def connector(kind: Any, inner: BaseException) -> Any:
    return kind(CONNECTION, inner)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (
            aiohttp.ConnectionTimeoutError("x"),
            Unreachable,
            "no connection to api.example:443 within 10 s",
        ),
        (TimeoutError(), TimedOut, "no complete answer from api.example:443 within 600 s"),
        (aiohttp.ServerTimeoutError(), TimedOut, "within 600 s"),
        (TimeoutError(errno.ETIMEDOUT, "x"), Unreachable, "broke: Connection timed out"),
        (
            connector(aiohttp.ClientConnectorError, REFUSED),
            Unreachable,
            "no connection to api.example:443: Connection refused",
        ),
        (
            connector(
                aiohttp.ClientConnectorDNSError, socket.gaierror(-2, "Name or service not known")
            ),
            Unreachable,
            "the name api.example cannot be resolved: Name or service not known",
        ),
        (
            connector(aiohttp.ClientConnectorError, OSError(errno.EMFILE, "x")),
            Unreachable,
            "lower --concurrency or raise 'ulimit -n'",
        ),
        (
            connector(aiohttp.ClientConnectorError, OSError("Multiple exceptions: a, b")),
            Unreachable,
            "no connection to api.example:443: Multiple exceptions: a, b",
        ),
        (
            aiohttp.ServerDisconnectedError(),
            Unreachable,
            "closed the connection before it answered",
        ),
        (
            aiohttp.ClientOSError(errno.ECONNRESET, "x"),
            Unreachable,
            "broke: Connection reset by peer",
        ),
        (BadStatusLine("nonsense"), Unreachable, "something that is not HTTP"),
        (HttpProcessingError(), Unreachable, "something that is not HTTP"),
        (UnicodeError("label too long"), Unreachable, "the connection to api.example:443 broke"),
    ],
)
def test_each_failure_is_told_with_host_and_reason(
    error: BaseException, kind: type[AttemptFailed], told: str
) -> None:
    assert isinstance(error, FOREIGN)
    ours = before_answer(error, ROUTE)
    assert type(ours) is kind
    assert told in str(ours)


def test_a_certificate_error_names_issuer_reason_and_flag() -> None:
    inner = ssl.SSLCertVerificationError(1, "x")
    inner.verify_message = "unable to get local issuer certificate"
    error = connector(aiohttp.ClientConnectorCertificateError, inner)
    assert is_certificate_error(error)
    ours = before_answer(error, ROUTE, issuer="Example Root")
    assert type(ours) is Untrusted
    assert str(ours).startswith(
        "the certificate of api.example:443 (issued by 'Example Root') is not trusted: "
        "unable to get local issuer certificate."
    )
    assert "--ca-file" in str(ours)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (407, AnsweredError, "the proxy http://proxy:3128 does not let us through"),
        (403, AnsweredError, "does not let us through to api.example:443: 403 m"),
        (502, Unreachable, "the proxy http://proxy:3128 does not reach api.example:443: 502 m"),
    ],
)
def test_a_proxys_refusal_is_not_taken_for_the_providers(
    status: int, kind: type[AttemptFailed], told: str
) -> None:
    error = aiohttp.ClientHttpProxyError(REQUEST, (), status=status, message="m", headers=HEADERS)
    ours = before_answer(error, PROXIED)
    assert type(ours) is kind
    assert told in str(ours)
    assert getattr(ours, "code", "proxy_refused") == "proxy_refused"


@pytest.mark.parametrize("status", [407, 502])
def test_a_proxys_words_in_other_bytes_than_utf_8_can_be_written_down(status: int) -> None:
    error = aiohttp.ClientHttpProxyError(
        REQUEST, (), status=status, message="refus\udce9", headers=HEADERS
    )
    assert f"{status} refus\ufffd" in str(before_answer(error, PROXIED))


def test_a_proxy_that_cannot_be_reached_is_named() -> None:
    ours = before_answer(connector(aiohttp.ClientProxyConnectionError, REFUSED), PROXIED)
    assert str(ours) == "no connection to the proxy http://proxy:3128: Connection refused"


def test_an_answer_that_breaks_off_is_incomplete_and_keeps_its_beginning() -> None:
    ours = within_answer(aiohttp.ClientPayloadError("x"), ROUTE, text='{"choices":')
    assert type(ours) is IncompleteReply
    assert (ours.text, ours.partial, ours.billed_unknown) == ('{"choices":', None, True)
    assert "broke off: the connection closed before its end" in str(ours)
    assert ours.broke_off
    assert not within_answer(OverflowError(9), ROUTE).broke_off
