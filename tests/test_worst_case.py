from __future__ import annotations

from typing import Any

import orjson
import pytest

from runner.errors import FailsRow, JobError
from runner.job import Job
from runner.providers import ModelFacts, ParameterTable, Providers
from runner.records import Request
from runner.worst_case import WorstCase, check_bounds, most_completion_tokens

PROVIDERS = Providers.load(None)
ENDPOINT = PROVIDERS.endpoint(Job(region="beijing"))
PARAMETERS: ParameterTable = PROVIDERS.parameters(ENDPOINT, dashscope=True)
MESSAGES = [{"role": "user", "content": "why?"}]


def facts_of(model: str) -> ModelFacts:
    return PROVIDERS.model(ENDPOINT, model)


def request(model: str = "qwen-plus", *, content: Any = "why?", **params: Any) -> Request:
    messages = [{"role": "user", "content": content}]
    return Request(7, orjson.dumps({"model": model, "messages": messages, **params}), "", model)


def worst(asked: Request, currency: str | None = "CNY") -> tuple[int, int]:
    return WorstCase(facts_of, PARAMETERS, currency=currency).of(asked)


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({"max_tokens": 100}, 100),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_completion_tokens": 70, "max_tokens": 100}, 70),
        ({"max_tokens": 100, "enable_thinking": True, "thinking_budget": 50}, 150),
        ({"max_tokens": 100, "enable_thinking": True}, None),
        ({"max_completion_tokens": 70, "enable_thinking": True, "n": 2}, 140),
        ({}, None),
        ({"max_tokens": "100"}, None),
        ({"max_tokens": 100, "n": "many"}, None),
    ],
)
def test_an_answer_is_bounded_by_what_limits_it(params: dict[str, Any], most: int | None) -> None:
    assert most_completion_tokens(params, facts_of("qwen-plus")) == most


def test_the_worst_case_has_the_input_by_its_bytes_and_the_longest_answer() -> None:
    asked = request(max_tokens=1000)
    pico, tokens = worst(asked)
    assert tokens >= len(asked.body) + 1000
    # 0.8 and 2 CNY per 1,000,000
    assert pico == (tokens - 1000) * 800_000 + 1000 * 2_000_000


def test_thinking_is_priced_where_the_model_thinks_alone() -> None:
    plain, _ = worst(request(max_completion_tokens=1000))
    thinking, _ = worst(request(max_completion_tokens=1000, enable_thinking=True))
    assert thinking - plain > 1000 * 5_000_000


def test_where_money_is_not_limited_no_price_is_wanted() -> None:
    assert worst(request("my-model", max_tokens=10), None)[0] == 0


def test_an_image_may_take_as_much_as_the_model_reads() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
    _, tokens = worst(request(content=parts, max_tokens=10))
    assert tokens == 1_000_010
    _, tokens = worst(request(content='he wrote "image_url": here', max_tokens=10))
    assert tokens < 1000


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(), "give it max_tokens"),
        (request("my-model", max_tokens=10), "the price of my-model is unknown"),
        (request(max_tokens=10, enable_search=True), "enable_search is billed apart"),
        (
            request(content=[{"type": "text", "text": "a", "cache_control": {}}], max_tokens=10),
            "cache_control is billed apart",
        ),
        (
            request("qwen-max", content=[{"type": "image_url", "image_url": {}}], max_tokens=10),
            "images or sounds",
        ),
    ],
)
def test_a_row_without_a_bound_fails_unsent_and_says_why(asked: Request, why: str) -> None:
    with pytest.raises(FailsRow, match=why) as failure:
        worst(asked)
    assert failure.value.error_type == "budget"
    assert "row 7" in failure.value.message


def check(model: str = "qwen-plus", **settings: Any) -> None:
    usual: dict[str, Any] = {"money": True, "whole_requests": False, "from_columns": {}}
    found = {**usual, **settings}
    params = found.pop("params", {})
    columns = found.pop("from_columns")
    check_bounds(params, columns, facts_of(model), PARAMETERS, flag="--max-cost 1", **found)


def test_a_job_whose_rows_bring_their_own_bounds_is_judged_row_by_row() -> None:
    check(whole_requests=True)
    check(from_columns={"max_tokens": "most"})
    check(from_columns={"model": "which"})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "max_tokens=1000"),
        ({"model": "qwq-plus", "params": {"max_tokens": 9}}, "thinks before it answers"),
        ({"model": "qwq-plus"}, "max_tokens=1000 --param thinking_budget=2000"),
        ({"model": "my-model", "params": {"max_tokens": 9}}, "the price of my-model is unknown"),
        ({"from_columns": {"enable_search": "look"}}, "enable_search is billed apart"),
    ],
)
def test_a_job_that_no_budget_can_hold_for_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(JobError, match=f"--max-cost 1: .*{told}"):
        check(**settings)
