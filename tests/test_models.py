from __future__ import annotations

import pytest

from runner.job import Job
from runner.providers import ModelFacts, Providers

# The models of the provider's own page "OpenAI Chat", 2025-11-11, all 33.
DOCUMENTED = [
    "qwen-max",
    "qwen-max-latest",
    "qwen-max-2025-01-25",
    "qwen-plus",
    "qwen-plus-latest",
    "qwen-plus-2025-04-28",
    "qwen-plus-2025-01-25",
    "qwen-turbo",
    "qwen-turbo-latest",
    "qwen-turbo-2025-04-28",
    "qwen-turbo-2024-11-01",
    "qwq-32b",
    "qwen3-235b-a22b",
    "qwen3-32b",
    "qwen3-30b-a3b",
    "qwen3-14b",
    "qwen3-8b",
    "qwen3-4b",
    "qwen3-1.7b",
    "qwen3-0.6b",
    "qwen2.5-14b-instruct-1m",
    "qwen2.5-7b-instruct-1m",
    "qwen2.5-72b-instruct",
    "qwen2.5-32b-instruct",
    "qwen2.5-14b-instruct",
    "qwen2.5-7b-instruct",
    "qwen2-72b-instruct",
    "qwen2-7b-instruct",
    "qwen1.5-110b-chat",
    "qwen1.5-72b-chat",
    "qwen1.5-32b-chat",
    "qwen1.5-14b-chat",
    "qwen1.5-7b-chat",
]

NEWER = [
    "qwen-flash",
    "qwen3-max",
    "qwen3.5-plus",
    "qwen3.5-flash",
    "qwen3.6-plus",
    "qwen3.6-flash",
    "qwen3.7-max",
    "qwen3.7-plus",
    "qwen3.7-flash",
    "qwen3.8-max",
    "qwen3.8-flash",
    "qwq-plus",
]


def facts(name: str, region: str = "singapore") -> ModelFacts:
    providers = Providers.load()
    return providers.model(providers.endpoint(Job(region=region)), name)


def test_there_are_33_documented_names() -> None:
    assert len(set(DOCUMENTED)) == 33


@pytest.mark.parametrize("name", [*DOCUMENTED, *NEWER])
@pytest.mark.parametrize("region", ["singapore", "beijing", "virginia", "ws-1.eu-central-1"])
def test_every_documented_model_is_known_in_every_region(name: str, region: str) -> None:
    assert facts(name, region).known


@pytest.mark.parametrize("region", ["singapore", "beijing"])
@pytest.mark.parametrize("name", [n for n in DOCUMENTED if not n.startswith(("qwen2-", "qwen1.5"))])
def test_every_documented_model_but_the_first_generations_has_a_dated_price(
    name: str, region: str
) -> None:
    if (name, region) == ("qwq-32b", "singapore"):
        assert facts(name, region).price is None  # none published: unknown, not free
        return
    price = facts(name, region).price
    assert price is not None
    assert price.as_of.startswith("2026-")
    assert price.source
    assert all(rate > 0 for tier in price.pico for rate in tier)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("qwen2-7b-instruct", "2026-03-30"),
        ("qwen1.5-110b-chat", "2026-03-30"),
        ("qwen-turbo-2024-11-01", "2026-07-13"),
        ("qwen-max", "2026-07-13"),
        ("qwen3-32b", "2026-10-11"),
        ("qwen-plus", None),
        ("qwen-flash", None),
    ],
)
def test_an_announced_end_is_a_warning_with_its_source(name: str, day: str | None) -> None:
    known = facts(name)
    assert known.retired == day
    assert bool(known.warnings) == (day is not None)
    if day:
        assert day in known.warnings[0]
        assert "(" in known.warnings[0]


# alibabacloud.com/help/en/model-studio/rate-limit, 2026-03
@pytest.mark.parametrize(
    ("name", "region", "rpm", "tpm"),
    [
        ("qwen-plus", "singapore", 600, 1_000_000),
        ("qwen-plus", "beijing", 30_000, 5_000_000),
        ("qwen-plus", "virginia", 15_000, 5_000_000),
        ("qwen-plus", "hongkong", 600, 1_000_000),
        ("qwen-plus", "ws-1.eu-central-1", 600, 1_000_000),
        ("qwen-flash", "beijing", 30_000, 10_000_000),
        ("qwen3-32b", "beijing", 2_400, 1_000_000),
        ("qwen-plus-2025-12-01", "beijing", 120, 1_000_000),
        ("qwen-plus-2025-12-01", "singapore", 60, 1_000_000),  # as the published snapshot
        ("qwen-max-latest", "beijing", 1_200, 1_000_000),  # as its family
        ("qwen3.8-max", "singapore", None, 1_000_000),
        ("qwen3.6-plus", "singapore", None, None),
    ],
)
def test_limits_are_the_regions_own(
    name: str, region: str, rpm: int | None, tpm: int | None
) -> None:
    known = facts(name, region)
    assert (known.rpm, known.tpm) == (rpm, tpm)
    assert bool(known.source) == bool(known.as_of) == (tpm is not None)


@pytest.mark.parametrize(
    ("name", "by_default", "switched_on", "switched_off"),
    [
        ("qwen-plus", False, True, False),
        ("qwen-turbo", False, True, False),
        ("qwen-max", False, False, False),
        ("qwen2.5-7b-instruct", False, False, False),
        ("qwen-plus-2025-01-25", False, False, False),
        ("qwen3-8b", True, True, False),
        ("qwen3.5-plus", True, True, False),
        ("qwq-32b", True, True, True),
    ],
)
def test_whether_a_model_thinks(
    name: str, by_default: bool, switched_on: bool, switched_off: bool
) -> None:
    known = facts(name)
    assert known.thinks({}) is known.thinks({"enable_thinking": None}) is by_default
    assert known.thinks({"enable_thinking": True}) is switched_on
    assert known.thinks({"enable_thinking": False}) is switched_off


@pytest.mark.parametrize(
    ("name", "enable_thinking", "must_stream"),
    [
        ("qwq-plus", None, True),
        ("qwq-32b", False, True),
        ("qwen3-8b", None, True),
        ("qwen3-8b", False, False),
        ("qwen-plus", True, False),
        ("qwen3.7-max", None, False),
    ],
)
def test_whether_a_model_answers_in_streams_alone(
    name: str, enable_thinking: bool | None, must_stream: bool
) -> None:
    assert facts(name).must_stream({"enable_thinking": enable_thinking}) is must_stream


@pytest.mark.parametrize(
    ("name", "tokenizer", "longest"),
    [
        ("qwen-plus", "qwen", 1_000_000),
        ("qwen-plus-2025-07-14", "qwen", 1_000_000),
        ("qwen3-8b", "qwen", None),
        ("qwen3.5-plus", "qwen3.5", 1_000_000),
        ("qwen3.8-max", "qwen3.5", None),
        ("some-other", "unknown", None),
    ],
)
def test_the_vocabulary_and_the_longest_prompt(
    name: str, tokenizer: str, longest: int | None
) -> None:
    assert (facts(name).tokenizer, facts(name).max_prompt_tokens) == (tokenizer, longest)


def test_an_unknown_model_has_neither_limits_nor_price_and_a_warning_with_the_near_name() -> None:
    unknown = facts("qwen-pluss")
    assert not unknown.known
    assert (unknown.rpm, unknown.tpm, unknown.price) == (None, None, None)
    assert "did you mean 'qwen-plus'?" in unknown.warnings[0]
    assert "--providers" in unknown.warnings[0]


def test_a_snapshot_newer_than_the_table_thinks_and_streams_as_its_family() -> None:
    snapshot = facts("qwen3.7-plus-2026-12-24")
    assert not snapshot.known
    assert snapshot.price is None
    assert snapshot.thinks({})
    assert snapshot.tokenizer == "qwen3.5"
    assert facts("qwen-max-2027-01-01").tokenizer == "qwen"
