"""Who issued a certificate that is not trusted? So that a person knows whose to ask for."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.client.way_out import WayOut

# What people know an issuer by, best first (X.520): its common name, its organisation.
_NAMES = (b"\x55\x04\x03", b"\x55\x04\x0a")
_VERSION_TAG = 0xA0


async def find_issuer(base_url: str, way: WayOut, *, timeout_s: float) -> str | None:
    """The issuer named by the endpoint's certificate; None when it cannot be had.

    Connects without verifying and sends nothing secret: no key, no row.
    """
    tls = _Unverified(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    limit = aiohttp.ClientTimeout(total=timeout_s)
    # Whatever comes of the request itself: the certificate is there before it.
    with suppress(aiohttp.ClientError, OSError, ValueError):
        async with (
            aiohttp.ClientSession(
                timeout=limit, connector=aiohttp.TCPConnector(ssl=tls, force_close=True)
            ) as session,
            session.head(
                base_url, proxy=way.proxy, proxy_auth=way.proxy_auth, allow_redirects=False
            ),
        ):
            pass
    with suppress(ValueError):  # the handshake was not done
        certificate = tls.peer.getpeercert(binary_form=True) if tls.peer is not None else None
        return issuer_of(certificate) if certificate else None
    return None


class _Unverified(ssl.SSLContext):
    """Remembers its last peer, since aiohttp lets go of a connection with the answer's end."""

    peer: ssl.SSLObject | None = None

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        self.peer = super().wrap_bio(*args, **options)
        return self.peer


def issuer_of(certificate: bytes) -> str | None:
    """The issuer's name in a DER certificate (RFC 5280, section 4.1)."""
    try:
        body = next(_items(certificate))[1]
        signed = [item for item in _items(next(_items(body))[1]) if item[0] != _VERSION_TAG]
        # serial number, signature algorithm, issuer
        found = dict(_attributes(signed[2][1]))
    except (IndexError, ValueError, StopIteration):
        return None
    names = [found[name] for name in _NAMES if name in found]
    return ", ".join(dict.fromkeys(names)) or None


def _attributes(name: bytes) -> Iterator[tuple[bytes, str]]:
    for _, relative in _items(name):
        for _, attribute in _items(relative):
            (_, kind), (_, value) = _items(attribute)
            yield kind, value.decode("utf-8", "replace")


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER item in `data`, in order."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[at + 2 : start], "big")
        at = start + length
        yield tag, data[start:at]
