"""Proxy, trust and sockets, as the environment and the flags say."""

from __future__ import annotations

import resource
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from runner.client.way_out import find_way_out, is_loopback, make_room_for, open_socket
from runner.errors import JobError

CA_PEM = Path(__file__).with_name("loopback_ca.pem")
ENDPOINT = "https://dashscope-intl.example.com/compatible-mode/v1"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({"ALL_PROXY": "socks5://s:1", "HTTPS_PROXY": "http://p:2"}, "http://p:2"),
        ({"HTTPS_PROXY": "http://p:2", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:2", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://p:2", "NO_PROXY": ".example.com,other"}, None),
        ({"HTTPS_PROXY": "http://p:2", "NO_PROXY": "example.org"}, "http://p:2"),
        ({"HTTPS_PROXY": "http://p:2", "NO_PROXY": "10.0.0.0/8"}, "http://p:2"),
    ],
)
def test_takes_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], proxy: str | None
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert find_way_out(ENDPOINT, ca_file=None).proxy == proxy


@pytest.mark.parametrize(
    ("host", "is_direct"),
    [("10.1.2.3", True), ("10.200.0.1", True), ("11.0.0.1", False), ("192.168.7.9", True)],
)
def test_a_network_in_no_proxy_takes_all_its_addresses(
    monkeypatch: pytest.MonkeyPatch, host: str, *, is_direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:2")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, nonsense/8, 192.168.0.0/16")
    assert (find_way_out(f"http://{host}/v1", ca_file=None).proxy is None) is is_direct


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "api.localhost", "[::1]", "localhost:8000"]
)
def test_loopback_never_takes_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:2")
    monkeypatch.setenv("ALL_PROXY", "http://p:2")
    assert find_way_out(f"http://{host}/v1", ca_file=None).proxy is None


@pytest.mark.parametrize(
    ("host", "expected"), [("::1", True), ("example.com", False), ("128.0.0.1", False)]
)
def test_knows_this_machine(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_proxys_password_is_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret%21@proxy.example:3128")
    way = find_way_out(ENDPOINT, ca_file=None)
    assert way.proxy_auth is not None
    assert (way.proxy_auth.login, way.proxy_auth.password) == ("me", "secret!")
    assert way.proxy == "http://proxy.example:3128"
    assert str(way) == "through the proxy http://proxy.example:3128 (HTTPS_PROXY)"
    assert "secret" not in repr(way)


def test_without_a_proxy_the_way_is_direct() -> None:
    assert str(find_way_out(ENDPOINT, ca_file=None)) == "directly"


def test_a_proxy_of_an_unsupported_kind_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(JobError, match=r"ALL_PROXY: .*socks5.*HTTPS_PROXY=http"):
        find_way_out(ENDPOINT, ca_file=None)


@pytest.mark.parametrize("address", ["http://me:secret@p:80a", "me:secret@p:80a", "http://[::1"])
def test_a_proxy_that_is_no_address_is_refused_by_its_variable_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(JobError, match="HTTPS_PROXY holds no address") as caught:
        find_way_out(ENDPOINT, ca_file=None)
    assert "secret" not in str(caught.value)


def test_a_proxys_user_may_have_a_name_in_any_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://王:密@p:80")
    auth = find_way_out(ENDPOINT, ca_file=None).proxy_auth
    assert auth is not None
    assert aiohttp.BasicAuth.decode(auth.encode(), encoding="utf-8") == auth


def test_trusts_the_users_authority_beside_the_systems() -> None:
    own = find_way_out(ENDPOINT, ca_file=str(CA_PEM)).tls
    assert own is not None
    assert own.verify_mode == ssl.CERT_REQUIRED
    assert own.check_hostname
    assert any("Example Root" in str(authority["subject"]) for authority in own.get_ca_certs())


def test_ssl_cert_file_is_the_trust_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CA_PEM))
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    tls = find_way_out(ENDPOINT, ca_file=None).tls
    assert tls is not None
    assert len(tls.get_ca_certs()) == 1


def test_a_missing_ssl_cert_file_is_refused_rather_than_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(JobError, match=r"SSL_CERT_FILE=/nowhere/ca\.pem: there is no such file"):
        find_way_out(ENDPOINT, ca_file=None)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "No such file"), ("nonsense", "holds no certificate")]
)
def test_a_ca_file_that_is_none_is_refused_by_its_flag(
    tmp_path: Path, content: str | None, told: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, "ascii")
    with pytest.raises(JobError, match=f"--ca-file {path}: {told}"):
        find_way_out(ENDPOINT, ca_file=str(path))


def test_plain_http_needs_no_trust_store() -> None:
    assert find_way_out("http://127.0.0.1:8000/v1", ca_file=None).tls is None


@pytest.mark.parametrize("address", ["ftp://h/v1", "h/v1", "https://", "http://[::1/v1"])
def test_an_address_that_cannot_be_asked_is_refused(address: str) -> None:
    with pytest.raises(JobError, match="--base-url"):
        find_way_out(address, ca_file=None)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(JobError, match="must not hold a user or password") as caught:
        find_way_out("https://me:secret@h/v1", ca_file=None)
    assert "secret" not in str(caught.value)


def test_sockets_notice_a_forgotten_connection() -> None:
    with open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 9))) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_makes_room_for_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        make_room_for(400)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 500
        make_room_for(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_the_system_allows_are_refused_naming_the_flag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    with pytest.raises(JobError, match=r"--concurrency 2000 needs 2100 .* use --concurrency 924"):
        make_room_for(2000)
