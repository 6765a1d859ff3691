"""Which error for which request."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from runner.errors import JobError
from runner.simulator.scenario import Decider, Scenario, Seen

GUIDE = Path(__file__).parent.parent / "docs" / "scenarios.md"


def seen(text: str = "hello", **changes: Any) -> Seen:
    values: dict[str, Any] = {
        "text": text,
        "model": "qwen-plus",
        "number": 1,
        "attempt": 1,
        "since_start_s": 0.0,
        "digest": b"d" * 16,
    }
    return Seen(**{**values, **changes})


def decide(rule: dict[str, Any], *requests: Seen) -> list[str]:
    decider = Decider(Scenario.build({"rule": [rule]}), (), seed=0)
    return [decider.decide(request).name for request in requests]


@pytest.mark.parametrize(
    ("condition", "fits", "misses"),
    [
        ({"contains": "ell"}, seen(), seen("bye")),
        ({"matches": "^h.*o$"}, seen(), seen("oh")),
        ({"model": "qwen-max"}, seen(model="qwen-max"), seen()),
        ({"request": 3}, seen(number=3), seen(number=4)),
        ({"request": [3, 5]}, seen(number=5), seen(number=2)),
        ({"attempt": [1, 2]}, seen(attempt=2), seen(attempt=3)),
        ({"seconds": [10, 20]}, seen(since_start_s=15.0), seen(since_start_s=21.0)),
    ],
)
def test_a_rule_holds_where_its_condition_does(
    condition: dict[str, Any], fits: Seen, misses: Seen
) -> None:
    assert decide({**condition, "answer": "arrearage"}, fits, misses) == ["arrearage", "answer"]


def test_times_counts_in_all() -> None:
    rule = {"answer": "html", "times": 2}
    assert decide(rule, seen(), seen("b"), seen()) == ["html", "html", "answer"]


def test_a_prompt_can_name_its_own_error() -> None:
    rule = {"matches": r"fail with (?P<answer>\w+)"}
    texts = ("please fail with stream_only", "fail with nonsense", "no")
    assert decide(rule, *map(seen, texts)) == ["stream_only", "answer", "answer"]


def test_status_body_and_headers_can_be_spelled_out() -> None:
    rule = {"status": 418, "body": "short and stout", "headers": {"X-Pot": "tea"}, "delay_s": 0}
    decider = Decider(Scenario.build({"rule": [rule]}), (), seed=0)
    line = decider.decide(seen())
    assert (line.status, line.raw, line.headers, line.delay_s) == (
        418,
        "short and stout",
        {"X-Pot": "tea"},
        0,
    )


def test_the_first_rule_that_fits_decides_and_shares_come_last() -> None:
    rules = [{"contains": "x", "answer": "ok"}, {"contains": "y", "answer": "html"}]
    decider = Decider(Scenario.build({"rule": rules}), (("drop", 1.0),), seed=0)
    assert [decider.decide(seen(t)).name for t in ("xy", "y", "z")] == ["answer", "html", "drop"]


def test_shares_are_kept_and_do_not_depend_on_the_order() -> None:
    requests = [seen(digest=i.to_bytes(16, "big")) for i in range(20_000)]
    errors = (("limit_requests", 0.05), ("internal_error", 0.02))

    def outcomes(order: list[Seen], seed: int = 0) -> dict[bytes, str]:
        decider = Decider(Scenario(), errors, seed=seed)
        return {request.digest: decider.decide(request).name for request in order}

    forward = outcomes(requests)
    assert forward == outcomes(requests[::-1])
    assert forward != outcomes(requests, seed=1)
    names = list(forward.values())
    assert names.count("limit_requests") / 20_000 == pytest.approx(0.05, abs=0.006)
    assert names.count("internal_error") / 20_000 == pytest.approx(0.02, abs=0.004)


def test_a_repeated_body_draws_anew() -> None:
    decider = Decider(Scenario(), (("html", 0.5),), seed=0)
    names = {decider.decide(seen(attempt=attempt)).name for attempt in range(1, 30)}
    assert names == {"html", "answer"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule = 3", "nothing but [[rule]] tables"),
        ("[[rule]]\nanwser = 'html'", "rule 1: there is no key 'anwser'"),
        (
            "[[rule]]\nanswer = 'htlm'",
            "no error called 'htlm'; did you mean html?",
        ),
        ("[[rule]]\ncontains = 'x'", "rule 1: say what it answers"),
        ("[[rule]]\ncontains = 3\nanswer = 'html'", "contains = 3 has the wrong type"),
        ("[[rule]]\nmatches = '('\nanswer = 'html'", "no regular expression"),
        ("[[rule]]\nattempt = [1]\nanswer = 'html'", "attempt: give a number"),
        ("[[rule", "not a TOML file"),
    ],
)
def test_flaws_name_the_file_the_rule_and_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad-day.toml"
    path.write_text(text)
    with pytest.raises(JobError) as caught:
        Scenario.load(path)
    assert said in str(caught.value)
    assert "bad-day.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"gone\.toml: cannot be read"):
        Scenario.load(tmp_path / "gone.toml")


def test_the_guide_names_every_key_and_its_example_is_a_bad_day() -> None:
    guide = GUIDE.read_text("utf-8")
    with pytest.raises(JobError, match="the keys are ") as refused:
        Scenario.build({"rule": [{"nonsense": 1}]})
    keys = str(refused.value).split("the keys are ")[1].split(", ")
    assert [key for key in keys if f"`{key}`" not in guide] == []

    example = re.search(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert example is not None
    decider = Decider(Scenario.build(tomllib.loads(example[1])), (), seed=0)
    answers = (
        decider.decide(seen(since_start_s=45.0)).name,
        decider.decide(seen("a poisonous row")).name,
        decider.decide(seen("fail with arrearage")).name,
        decider.decide(seen(number=9, attempt=2)).name,
    )
    assert answers == ("status_503", "data_inspection_failed", "arrearage", "answer")
