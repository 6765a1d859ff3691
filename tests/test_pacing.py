"""Which limits hold, and the line that says where each came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import JobError
from runner.job import Job, LimitSettings
from runner.pacing import UNKNOWN_PER_SECOND, ChosenLimits, choose_limits
from runner.providers import Providers

if TYPE_CHECKING:
    from runner.providers import ModelFacts


def facts(model: str = "qwen-plus", **job: Any) -> ModelFacts:
    """What the tables know; in Singapore 600 requests and a million tokens for qwen-plus."""
    providers = Providers.load(None)
    return providers.model(providers.endpoint(Job.build(job)), model)


def chosen(settings: dict[str, Any], known: ModelFacts | None = None) -> ChosenLimits:
    return choose_limits(LimitSettings(**settings), known or facts())


UNKNOWN = facts(base_url="http://127.0.0.1:1/v1")
TABLE = "provider table of"


@pytest.mark.parametrize(
    ("settings", "per_second", "ramp", "said"),
    [
        ({}, 10, True, ("climbing to 10 requests/s", TABLE, "for qwen-plus", "600 a minute")),
        ({"qps": 25}, 25, False, ("25 requests/s (--qps)",)),
        ({"qps": 0.2}, 0.2, False, ("0.2 requests/s (--qps)",)),
        ({"rpm": 90}, 1.5, False, ("1.5 requests/s (--rpm 90)",)),
        ({"rpm": 600, "qps": 3}, 3, False, ("3 requests/s (--qps)",)),
        ({"rpm": 60, "qps": 3}, 1, False, ("1 requests/s (--rpm 60)",)),
        # an explicit request limit replaces the table's, also above it
        ({"qps": 500}, 500, False, ("500 requests/s (--qps)",)),
        # the table's stays where only something else was said
        ({"tpm": 5000, "concurrency": 3}, 10, True, (TABLE, "--qps sets it")),
    ],
)
def test_the_pace_of_a_known_model(
    settings: dict[str, Any], per_second: float, ramp: bool, said: tuple[str, ...]
) -> None:
    limits = chosen(settings)
    assert limits.per_second == pytest.approx(per_second)
    assert limits.ramp == ramp
    assert limits.notes[0].startswith("pace: ")
    for words in said:
        assert words in limits.notes[0]


@pytest.mark.parametrize(
    ("settings", "per_second", "said"),
    [
        ({}, UNKNOWN_PER_SECOND, "no limit is known for this model and address"),
        ({"qps": 7}, 7, "(--qps)"),
        ({"tpm": 10_000}, UNKNOWN_PER_SECOND, "no limit is known"),
        ({"concurrency": 30}, None, "no limit, only --concurrency (--qps sets one)"),
        ({"concurrency": 30, "rpm": 60}, 1, "(--rpm 60)"),
    ],
)
def test_the_pace_where_nothing_is_known(
    settings: dict[str, Any], per_second: float | None, said: str
) -> None:
    limits = chosen(settings, UNKNOWN)
    assert limits.per_second == per_second
    assert said in limits.notes[0]
    assert limits.ramp == (settings.keys() <= {"tpm"})


def test_a_model_without_a_request_limit_is_paced_by_its_tokens() -> None:
    known = facts("qwen3.8-max")
    assert known.rpm is None
    assert known.tpm is not None
    by_table = chosen({}, known)
    assert by_table.per_second == pytest.approx(known.tpm / 60 / 500)
    assert f"from {known.tpm:,} tokens a minute, 500 a request assumed" in by_table.notes[0]
    # who has been given more tokens may ask faster
    by_flag = chosen({"tpm": 2 * known.tpm}, known)
    assert by_flag.per_second == pytest.approx(2 * known.tpm / 60 / 500)
    assert f"from {2 * known.tpm:,} tokens" in by_flag.notes[0]


@pytest.mark.parametrize(
    ("settings", "known", "tokens", "said"),
    [
        ({}, facts(), 1_000_000, ("1,000,000 a minute", TABLE, "--tpm changes it")),
        ({"tpm": 60_000}, facts(), 60_000, ("60,000 a minute (--tpm)",)),
        ({"tpm": 60_000}, UNKNOWN, 60_000, ("60,000 a minute (--tpm)",)),
        ({}, UNKNOWN, None, ("no limit (--tpm sets one)",)),
    ],
)
def test_tokens_a_minute(
    settings: dict[str, Any], known: ModelFacts, tokens: int | None, said: tuple[str, ...]
) -> None:
    limits = chosen(settings, known)
    assert limits.tokens_per_minute == tokens
    assert limits.notes[1].startswith("tokens: ")
    for words in said:
        assert words in limits.notes[1]


@pytest.mark.parametrize(
    ("settings", "known", "workers", "said"),
    [
        ({"concurrency": 3}, facts(), 3, "3 (--concurrency)"),
        ({"concurrency": 3, "qps": 100}, facts(), 3, "3 (--concurrency)"),
        ({"concurrency": 30}, UNKNOWN, 30, "30 (--concurrency)"),
        ({"concurrency": "auto"}, UNKNOWN, 16, "16, more while that helps, at most 1,000"),
        ({"qps": 5}, facts(), 300, "answers of up to 60 s; --concurrency sets it"),
        ({"qps": 100}, facts(), 1000, "answers of up to 10 s"),
        ({"qps": 2000}, facts(), 1000, "answers of up to 0.5 s"),
        ({"qps": 150}, facts(), 1000, "answers of up to 6.7 s"),
        ({"qps": 0.05}, facts(), 8, "answers of up to 160 s"),
        ({}, facts(), 600, "answers of up to 60 s"),
    ],
)
def test_workers_are_as_many_as_the_pace_needs(
    settings: dict[str, Any], known: ModelFacts, workers: int, said: str
) -> None:
    limits = chosen(settings, known)
    assert limits.workers == workers
    assert limits.notes[2].startswith("workers: ")
    assert said in limits.notes[2]


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(JobError, match="--share team: there is no limit to share"):
        chosen({"share": "team", "concurrency": 3}, UNKNOWN)
    assert chosen({"share": "team", "qps": 3}, UNKNOWN).per_second == 3
