"""One free call, and what it tells of key, address, proxy and model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aioresponses import aioresponses
from raw_server import Then, http, loopback_tls, raw_server

from runner.checked import Checked, check_endpoint
from runner.job import Job
from runner.simulator import SimulatorSettings, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-not-a-real-key-4711"
SINGAPORE = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/models"
LISTING = {"data": [{"id": "qwen-plus"}, {"id": "qwen-flash"}]}
WRONG_KEY = '{"error":{"code":"invalid_api_key","message":"Incorrect API key provided. "}}'
CA_PEM = str(Path(__file__).with_name("loopback_ca.pem"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def mocked() -> Iterator[aioresponses]:
    with aioresponses() as mock:
        yield mock


async def check(key: str = KEY, **job: Any) -> Checked:
    return await check_endpoint(Job(**job), {"DASHSCOPE_API_KEY": key})


def told(found: Checked) -> dict[str, tuple[bool | None, str]]:
    texts = {step.name: (step.ok, step.text) for step in found.steps}
    assert KEY not in str(found)
    return texts


async def test_all_is_well(mocked: aioresponses) -> None:
    mocked.get(SINGAPORE, payload=LISTING)
    found = await check()
    assert found.exit_status == 0
    assert [(step.name, step.ok) for step in found.steps] == [
        ("address", True),
        ("key", True),
        ("way out", True),
        ("TLS", True),
        ("key accepted", True),
        ("model", True),
    ]
    texts = told(found)
    assert texts["key"][1] == "found in DASHSCOPE_API_KEY"
    assert "region singapore" in texts["address"][1]
    assert texts["way out"][1] == "directly"
    assert texts["model"][1] == "qwen-plus is listed, among 2"


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (
            [{"id": "qwen-flash"}],
            "not listed, which need not mean that it is refused. Listed: qwen-",
        ),
        ([], "lists no models"),
    ],
)
async def test_a_model_that_is_not_listed_is_a_note(
    mocked: aioresponses, listing: list[dict[str, str]], words: str
) -> None:
    mocked.get(SINGAPORE, payload={"data": listing})
    found = await check()
    ok, text = told(found)["model"]
    assert (found.exit_status, ok) == (0, None)
    assert words in text


async def test_a_refused_key_names_the_other_regions(mocked: aioresponses) -> None:
    mocked.get(SINGAPORE, status=401, body=WRONG_KEY)
    found = await check()
    ok, text = told(found)["key accepted"]
    assert (found.exit_status, ok) == (3, False)
    assert "Incorrect API key provided" in text
    assert "This was singapore; the other regions: beijing, virginia, hongkong," in text
    assert "model" not in told(found)


@pytest.mark.parametrize("status", [429, 500, 403])
async def test_any_other_refusal_is_the_providers(mocked: aioresponses, status: int) -> None:
    mocked.get(SINGAPORE, status=status, body="no")
    assert (await check()).exit_status == 3


@pytest.mark.parametrize(
    ("status", "body"), [(404, "not here"), (405, ""), (200, '{"models":[]}'), (200, "<html>")]
)
async def test_a_gateway_without_a_listing_is_noted(
    mocked: aioresponses, status: int, body: str
) -> None:
    mocked.get("https://gateway.example/v1/models", status=status, body=body)
    found = await check(base_url="https://gateway.example/v1")
    assert found.exit_status == 0
    ok, text = told(found)["key accepted"]
    assert ok is None
    assert "no list of models" in text
    assert "check --base-url" in text


@pytest.mark.parametrize(
    ("job", "key", "step", "words"),
    [
        ({}, "", "key", "it is not set"),
        ({}, "sk-sp-plan", "key", "Coding or Token Plan"),
        ({"api_key_file": "nowhere"}, KEY, "key", "cannot be read"),
        ({"region": "mars"}, KEY, "address", "no such region"),
        ({"provider": "acme"}, KEY, "address", "no such provider"),
        ({"ca_file": "nowhere"}, KEY, "way out", "--ca-file nowhere"),
    ],
)
async def test_what_is_missing_here_is_told_before_anything_is_sent(
    mocked: aioresponses, job: dict[str, str], key: str, step: str, words: str
) -> None:
    found = await check(key, **job)
    assert found.exit_status == 2
    assert (found.steps[-1].name, found.steps[-1].ok) == (step, False)
    assert words in found.steps[-1].text
    assert not mocked.requests


async def test_a_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, mocked: aioresponses
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
    mocked.get(SINGAPORE, payload=LISTING)
    found = await check()
    text = told(found)["way out"][1]
    assert text == "through the proxy http://proxy.example:3128 (HTTPS_PROXY)"
    assert "secret" not in str(found)


async def test_an_untrusted_certificate_is_told_as_that() -> None:
    async with raw_server(http(b'{"data":[]}'), tls=loopback_tls()) as server:
        found = await check(base_url=server.base_url)
        ok, text = told(found)["TLS"]
        assert (found.exit_status, ok) == (3, False)
        assert "--ca-file" in text
        assert (await check(base_url=server.base_url, ca_file=CA_PEM)).exit_status == 0


async def test_an_endpoint_that_cannot_be_reached_is_told_as_that() -> None:
    async with raw_server(Then.DROPS) as server:
        found = await check(base_url=server.base_url)
    assert found.exit_status == 3
    assert (found.steps[-1].name, found.steps[-1].ok) == ("connection", False)


async def test_nothing_is_asked_of_the_server() -> None:
    async with serve(SimulatorSettings(key=KEY)) as server:
        found = await check(base_url=server.base_url)
        assert server.stats()["requests"] == 0
    assert found.exit_status == 0
    assert told(found)["TLS"][0] is None  # plain http
