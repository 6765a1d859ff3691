from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from runner.errors import JobError
from runner.job import Job
from runner.providers import Endpoint, Key, Providers, read_key

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sk-0123456789abcdef"


@pytest.fixture
def endpoint() -> Endpoint:
    return Providers.load().endpoint(Job())


def test_the_key_comes_from_the_providers_variable_without_its_blanks(endpoint: Endpoint) -> None:
    assert read_key(Job(), endpoint, {"DASHSCOPE_API_KEY": f" {SECRET}\n"}).reveal() == SECRET


def test_the_key_comes_from_a_variable_of_the_users_choice() -> None:
    job = Job(api_key_env="MY_KEY")
    endpoint = Providers.load().endpoint(job)
    assert read_key(job, endpoint, {"MY_KEY": SECRET, "DASHSCOPE_API_KEY": "x"}).reveal() == SECRET


def test_a_key_file_goes_before_the_environment(endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"\ufeff{SECRET}\n", "utf-8")
    job = Job(api_key_file=str(file))
    assert read_key(job, endpoint, {"DASHSCOPE_API_KEY": "sk-other"}).reveal() == SECRET


def test_a_missing_key_tells_the_variable_how_to_get_one_and_the_rehearsal(
    endpoint: Endpoint,
) -> None:
    with pytest.raises(JobError) as caught:
        read_key(Job(), endpoint, {})
    message = str(caught.value)
    assert "export DASHSCOPE_API_KEY=" in message
    assert "https://" in message
    assert "--rehearse" in message


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00k"])
def test_a_key_file_that_holds_none_is_named(
    endpoint: Endpoint, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(JobError, match="--api-key-file"):
        read_key(Job(api_key_file=str(file)), endpoint, {})


@pytest.mark.parametrize(
    "text",
    [
        "Bearer sk-0123",
        "sk-0123\nsk-4567",
        "sk-01\x0023",
        "sk-你好0123",
        '"sk-0123"',
        "sk-01\u200b23",
    ],
)
def test_what_cannot_be_a_key_is_refused_without_showing_it(endpoint: Endpoint, text: str) -> None:
    with pytest.raises(JobError, match="holds no API key") as caught:
        read_key(Job(), endpoint, {"DASHSCOPE_API_KEY": text})
    assert "01" not in str(caught.value)


def test_plan_keys_are_refused_with_the_reason(endpoint: Endpoint) -> None:
    with pytest.raises(JobError, match="terms forbid automated batch use") as caught:
        read_key(Job(), endpoint, {"DASHSCOPE_API_KEY": "sk-sp-0123"})
    assert "0123" not in str(caught.value)


def test_another_servers_keys_may_begin_as_they_like() -> None:
    job = Job(provider="openai-compatible", base_url="http://127.0.0.1:1/v1")
    endpoint = Providers.load().endpoint(job)
    assert read_key(job, endpoint, {"OPENAI_API_KEY": "sk-sp-0123"}).reveal() == "sk-sp-0123"


def test_a_key_shows_itself_to_nobody() -> None:
    key = Key(SECRET)
    for shown in (repr(key), str(key), f"{key}", f"{key!r}", f"{[key]}"):
        assert "0123" not in shown
        assert "hidden" in shown
    assert not hasattr(key, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied") as caught:
            leak(key)
        assert "0123" not in str(caught.value)
