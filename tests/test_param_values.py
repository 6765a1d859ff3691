from __future__ import annotations

from typing import Any

import pytest

from runner.providers.param_values import KINDS, flaw_of, shown
from runner.providers.tables import built_in

ENTRIES: dict[str, Any] = built_in()["model-studio"]["parameters"]
TOKEN = 108386  # 你好, from the provider's own sample


def function(name: object, **more: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("temperature", [0, 0.0, 1, 1.999], [2, 2.0, -0.1, "0.2", True, None, float("nan")]),
        ("top_p", [0.001, 1, 1.0], [0, 1.01, -1, "hot"]),
        ("presence_penalty", [-2, 0, 2.0], [-2.1, 3]),
        ("repetition_penalty", [0.1, 1.05, 40], [0, -1]),
        ("n", [1, 4, 2.0], [0, 5, 1.5, True, "2"]),
        ("max_tokens", [1, 100_000], [0, -1, 0.5, "many"]),
        ("top_k", [0, 50], [-1, 0.5]),
        ("top_logprobs", [0, 5], [-1, 6]),
        ("thinking_budget", [1], [0]),
        ("seed", [0, 2**31, 2**64 - 1], [-1, 2**64, 1.5]),
        ("enable_thinking", [True, False], [0, "true"]),
        ("search_options", [{}, {"forced_search": True}], [True, []]),
        ("reasoning_effort", ["xhigh", "medium", "low"], ["none", 3]),
        ("response_format", [{"type": "json_object"}, {"type": "text"}], ["json", {}, {"type": 1}]),
        ("tool_choice", ["auto", "none", "required", function("f")], ["any", {}, {"type": "x"}, 1]),
    ],
)
def test_a_value_is_taken_within_its_bounds_and_refused_outside(
    name: str, taken: list[object], refused: list[object]
) -> None:
    assert [value for value in taken if flaw_of(value, ENTRIES[name])] == []
    assert [value for value in refused if not flaw_of(value, ENTRIES[name])] == []


def test_a_flaw_tells_the_value_and_what_would_be_taken() -> None:
    assert flaw_of(2, ENTRIES["temperature"]) == "2 is out of range: 0 or more and below 2"
    assert flaw_of("x", ENTRIES["n"]) == '"x" is no whole number: 1 or more and at most 4'


@pytest.mark.parametrize("stop", ["你好", ["你好", "天氣"], [TOKEN, 1], [[TOKEN, 103924], [1]], []])
def test_stop_is_text_texts_token_ids_or_lists_of_them(stop: object) -> None:
    assert flaw_of(stop, ENTRIES["stop"]) is None


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (["你好", 104307], "mixes"),  # the provider's own counter-example
        ([TOKEN, [TOKEN]], "mixes"),
        ([["你好"]], "something other"),
        ([True], "something other"),
        (7, "neither text nor a list"),
    ],
)
def test_a_mixed_or_odd_stop_is_refused(stop: object, told: str) -> None:
    assert told in str(flaw_of(stop, ENTRIES["stop"]))


@pytest.mark.parametrize("name", ["get_weather", "a-b", "A1", "x" * 64])
def test_a_tools_name_has_letters_digits_and_two_marks(name: str) -> None:
    assert flaw_of([function(name, parameters={})], ENTRIES["tools"]) is None


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([function("x" * 65)], "at most 64"),
        ([function("ok"), function("get weather")], "tools[1].function.name"),
        ([function("天氣")], "letters, digits"),
        ([function("a\n")], "letters, digits"),
        ([function(None)], "letters, digits"),
        ([function("search")], "no tool may be called search"),
        ([function("f", parameters="none")], "JSON Schema"),
        ([{"type": "web", "function": {"name": "f"}}], 'type is "web"'),
        ([{"name": "f"}], "tools[0] is not"),
        ("f", "no list"),
    ],
)
def test_a_tool_that_the_provider_refuses_is_named(tools: object, told: str) -> None:
    assert told in str(flaw_of(tools, ENTRIES["tools"]))


def test_every_kind_takes_any_value_without_failing() -> None:
    entry = {"of": ["a"], "from": 0}
    odd: tuple[object, ...] = (None, True, 1, 1.5, "a", [], [1, "a"], {}, {"type": []})
    for kind in KINDS:
        for value in odd:
            flaw_of(value, {"kind": kind, **entry})


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(shown("x" * 500)) == 60
    assert shown({"a": "水"}) == '{"a": "水"}'
