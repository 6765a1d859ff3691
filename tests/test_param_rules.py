from __future__ import annotations

from typing import Any

import pytest

from runner.job import Job
from runner.providers import Providers
from runner.providers.param_rules import READS, RULES, Asked
from runner.providers.tables import built_in

PROVIDERS = Providers.load()
ENDPOINT = PROVIDERS.endpoint(Job())
STUDIO: dict[str, Any] = built_in()["model-studio"]

TOOLS = [{"type": "function", "function": {"name": "f"}}]
FORCED = {"type": "function", "function": {"name": "f"}}
JSON = {"type": "json_object"}
SCHEMA = {"type": "json_schema", "json_schema": {}}


def broken(
    model: str, params: dict[str, Any], *, streamed: bool = False, says_json: bool | None = True
) -> set[str]:
    asked = Asked(params, PROVIDERS.model(ENDPOINT, model), streamed, says_json)
    return {name for name, rule in RULES.items() if rule.is_broken(asked)}


def test_the_table_and_the_predicates_have_the_same_rules() -> None:
    assert set(STUDIO["rules"]) == set(RULES)


def test_rules_read_nothing_but_known_parameters_the_model_and_the_messages() -> None:
    assert set(STUDIO["parameters"]) | {"model", "messages"} >= READS


def test_an_ordinary_request_breaks_no_rule() -> None:
    params = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 100, "seed": 7, "stop": ["x"]}
    assert broken("qwen-plus", params) == set()
    assert broken("qwen-plus", {"tools": TOOLS, "tool_choice": FORCED}) == set()
    assert broken("qwen-plus", {"response_format": JSON}) == set()


@pytest.mark.parametrize(
    ("rule", "model", "params"),
    [
        ("stream_only", "qwq-plus", {}),
        ("thinking_in_stream", "qwen3-8b", {}),
        ("thinking_in_stream", "qwen3-8b", {"enable_thinking": True}),
        ("thinking_restricted", "qwq-plus", {"enable_thinking": False}),
        ("json_with_thinking", "qwen3.5-plus", {"response_format": JSON}),
        ("json_with_thinking", "qwen-plus", {"response_format": SCHEMA, "enable_thinking": True}),
        ("json_with_thinking", "qwen9-new", {"response_format": JSON, "enable_thinking": True}),
        (
            "effort_with_budget",
            "qwen3.8-max",
            {"reasoning_effort": "low", "thinking_budget": 5},
        ),
        ("n_with_tools", "qwen-plus", {"n": 2, "tools": TOOLS}),
        ("forced_tool_with_thinking", "qwen3.8-max", {"tools": TOOLS, "tool_choice": FORCED}),
        ("forced_tool_with_thinking", "qwen3.8-max", {"tools": TOOLS, "tool_choice": "required"}),
        ("required_tool", "qwen-plus", {"tools": TOOLS, "tool_choice": "required"}),
        ("chosen_tool_missing", "qwen-plus", {"tool_choice": FORCED}),
        ("n_of_model", "qwen-flash", {"n": 2}),
        ("n_of_model", "qwen-plus", {"n": 2, "enable_thinking": True}),
        ("large_seed", "qwen-plus", {"seed": 2**31}),
        ("top_logprobs_alone", "qwen-plus", {"top_logprobs": 2}),
        ("zero_temperature", "qwen-plus", {"temperature": 0}),
        ("thinks_by_default", "qwen3.7-plus", {}),
        ("max_tokens_with_thinking", "qwen3.7-plus", {"max_tokens": 5}),
    ],
)
def test_a_rule_is_broken_by(rule: str, model: str, params: dict[str, Any]) -> None:
    assert rule in broken(model, params)


@pytest.mark.parametrize(
    ("rule", "model", "params"),
    [
        ("thinking_in_stream", "qwen3-8b", {"enable_thinking": False}),
        ("thinking_restricted", "qwq-plus", {"enable_thinking": True}),
        ("json_with_thinking", "qwen3.5-plus", {"response_format": JSON, "enable_thinking": False}),
        ("json_with_thinking", "qwen3.5-plus", {"response_format": {"type": "text"}}),
        ("forced_tool_with_thinking", "qwen3.8-max", {"tools": TOOLS, "tool_choice": "auto"}),
        ("chosen_tool_missing", "qwen-plus", {"tools": TOOLS, "tool_choice": FORCED}),
        ("n_of_model", "qwen-plus", {"n": 4}),
        ("n_of_model", "qwen-flash", {"n": 1}),
        ("large_seed", "qwen-plus", {"seed": 2**31 - 1}),
        ("zero_temperature", "qwen-plus", {"temperature": False}),
        ("thinks_by_default", "qwen3.7-plus", {"enable_thinking": True}),
        ("thinks_by_default", "qwq-plus", {}),  # it cannot be switched off
        ("max_tokens_with_thinking", "qwen3.7-plus", {"max_tokens": 5, "thinking_budget": 5}),
    ],
)
def test_a_rule_is_kept_by(rule: str, model: str, params: dict[str, Any]) -> None:
    assert rule not in broken(model, params)


def test_streaming_satisfies_models_that_only_stream_and_may_disturb_tools() -> None:
    assert broken("qwq-plus", {}, streamed=True) == set()
    assert "thinking_in_stream" not in broken("qwen3-8b", {}, streamed=True)
    assert broken("qwen-plus", {"tools": TOOLS}, streamed=True) == {"tools_in_stream"}


@pytest.mark.parametrize(
    ("says_json", "rules"), [(True, set()), (False, {"json_word"}), (None, {"json_word_in_rows"})]
)
def test_json_mode_wants_the_word_in_a_message(says_json: bool | None, rules: set[str]) -> None:
    assert broken("qwen-plus", {"response_format": JSON}, says_json=says_json) == rules
    assert broken("qwen-plus", {"response_format": SCHEMA}, says_json=says_json) == set()


def test_values_of_any_shape_break_no_predicate() -> None:
    odd: tuple[Any, ...] = (
        None,
        True,
        0,
        -1.5,
        "",
        "x",
        [],
        [1],
        {},
        {"function": []},
        {"type": {}},
    )
    for model in ("qwen-plus", "qwq-plus", "qwen3.8-max", "qwen3-8b", "unheard-of"):
        for value in odd:
            for streamed in (True, False):
                broken(model, dict.fromkeys(STUDIO["parameters"], value), streamed=streamed)
