"""How do requests get out of this machine? Proxy, trust and sockets, resolved once a run.

Proxy: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or the system's settings where Python knows
them. Trust: the system's store, SSL_CERT_FILE and SSL_CERT_DIR in place of it, a bundle of the
user's besides. Loopback never takes a proxy: a stand-in server must not depend on one.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from runner.errors import JobError

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPARE_FILES = 100  # open files that are no connections: dataset, journal, parts, libraries
# A gateway may forget a connection that is silent for some minutes, as one is while a long answer
# is made; without these probes that costs the whole timeout.
_KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))


@dataclass(frozen=True, slots=True)
class WayOut:
    """Made by `find_way_out`, consumed by `client`."""

    proxy: str | None  # without credentials; None: straight to the endpoint
    proxy_from: str | None  # where that is set, as a person would look for it
    proxy_auth: aiohttp.BasicAuth | None = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)  # None: the endpoint speaks plain HTTP

    def __str__(self) -> str:
        return f"through the proxy {self.proxy} ({self.proxy_from})" if self.proxy else "directly"


def find_way_out(base_url: str, *, ca_file: str | None) -> WayOut:
    """The way to `base_url`. Raises JobError for an address, proxy or trust that cannot work."""
    url = _parse(base_url)
    proxy, proxy_from = _find_proxy(url)
    auth = None
    if proxy is not None and proxy.user is not None:
        auth = aiohttp.BasicAuth(proxy.user, proxy.password or "", encoding="utf-8")
        proxy = proxy.with_user(None)
    needs_tls = url.scheme == "https" or (proxy is not None and proxy.scheme == "https")
    return WayOut(
        proxy=str(proxy) if proxy is not None else None,
        proxy_from=proxy_from,
        proxy_auth=auth,
        tls=_trust(ca_file) if needs_tls else None,
    )


def open_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for aiohttp's connector that notices a connection the network has forgotten."""
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


def make_room_for(connections: int) -> None:
    """Lets this process open so many connections. Raises JobError when the system forbids it."""
    if sys.platform == "win32":
        return
    wanted = connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise JobError(
            f"--concurrency {connections} needs {wanted} open files, and this machine allows "
            f"{hard}; use --concurrency {max(1, hard - _SPARE_FILES)}, or raise 'ulimit -Hn'"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for(connections: int) -> int:
    """How many connections this process can open, up to `connections`; makes room for them."""
    if sys.platform != "win32":
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY:
            connections = max(1, min(connections, hard - _SPARE_FILES))
    make_room_for(connections)
    return connections


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse(base_url: str) -> URL:
    try:
        url = URL(base_url)
    except ValueError as error:
        raise JobError(f"--base-url {base_url}: {error}") from None
    if url.user is not None or url.password is not None:
        # Not shown: a password may stand in it.
        raise JobError("--base-url must not hold a user or password; give the key by --api-key-env")
    if url.scheme not in {"http", "https"} or not url.host:
        raise JobError(f"--base-url {base_url}: give an address that begins with https://HOST")
    return url


def _find_proxy(url: URL) -> tuple[URL | None, str | None]:
    host = url.host or ""
    if is_loopback(host):
        return None, None
    proxies = getproxies()
    if proxy_bypass(f"{host}:{url.port}") or proxy_bypass(host) or _in_network(host, proxies):
        return None, None
    for name in (url.scheme, "all"):
        if text := proxies.get(name):
            return _check_proxy(text, name), _origin(name)
    return None, None


def _check_proxy(text: str, name: str) -> URL:
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        # Not shown: a password may stand in it.
        raise JobError(
            f"{_origin(name)} holds no address; set it to http://HOST:PORT, the port a number, or "
            f"unset it"
        ) from None
    if proxy.scheme not in {"http", "https"} or not proxy.host:
        raise JobError(
            f"{_origin(name)}: a proxy of the kind {proxy.scheme}:// is not supported; set "
            f"HTTPS_PROXY=http://HOST:PORT, or NO_PROXY=HOST for an endpoint that needs none"
        )
    return proxy


def _origin(name: str) -> str:
    variable = f"{name}_proxy"
    for candidate in (variable, variable.upper()):
        if os.environ.get(candidate):
            return candidate
    return "the system's settings"


def _in_network(host: str, proxies: Mapping[str, str]) -> bool:
    """NO_PROXY=10.0.0.0/8, which the standard library does not know."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in (part.strip() for part in proxies.get("no", "").split(",")):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def _trust(ca_file: str | None) -> ssl.SSLContext:
    # OpenSSL passes over a missing one without a word, and trusts nobody then.
    if (path := os.environ.get("SSL_CERT_FILE")) and not Path(path).exists():
        raise JobError(f"SSL_CERT_FILE={path}: there is no such file; correct it or unset it")
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except ssl.SSLError:
            raise JobError(f"--ca-file {ca_file}: holds no certificate in PEM form") from None
        except OSError as error:
            raise JobError(f"--ca-file {ca_file}: {error.strerror}") from None
    return context
