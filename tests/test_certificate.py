"""Who issued a certificate, read from its bytes and asked of a server."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from raw_server import http, loopback_tls, raw_server

from runner.client.certificate import find_issuer, issuer_of
from runner.client.way_out import find_way_out

CA_PEM = Path(__file__).with_name("loopback_ca.pem")


def test_reads_name_and_organisation_of_the_issuer() -> None:
    certificate = ssl.PEM_cert_to_DER_cert(CA_PEM.read_text("ascii"))
    assert issuer_of(certificate) == "Example Root, Example Inspection"


@pytest.mark.parametrize(
    "damaged", [b"", b"\x30", b"\x30\x03\x02\x01\x00", b"\x30\x80", b"nonsense"]
)
def test_a_damaged_certificate_has_no_issuer(damaged: bytes) -> None:
    assert issuer_of(damaged) is None


def test_every_beginning_of_a_certificate_is_read_without_an_error() -> None:
    certificate = ssl.PEM_cert_to_DER_cert(CA_PEM.read_text("ascii"))
    for length in range(len(certificate)):
        issuer_of(certificate[:length])


async def test_asks_a_server_for_its_issuer_without_sending_anything_secret() -> None:
    async with raw_server(http(b""), tls=loopback_tls()) as server:
        way = find_way_out(server.base_url, ca_file=None)
        issuer = await find_issuer(server.base_url, way, timeout_s=5)
    assert issuer == "Example Root, Example Inspection"
    assert server.bodies == [b""]
    assert "authorization" not in server.heads[0].lower()


async def test_a_server_that_speaks_no_tls_has_none() -> None:
    async with raw_server(http(b"")) as server:
        address = server.base_url.replace("http://", "https://")
        way = find_way_out(address, ca_file=None)
        assert await find_issuer(address, way, timeout_s=5) is None
