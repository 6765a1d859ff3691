"""Which tool the stand-in model calls, and with what."""

from __future__ import annotations

import json
from typing import Any

from runner.simulator.tools import instance_of, tool_calls_for

TIME = {
    "type": "function",
    "function": {
        "name": "get_current_time",
        "description": "當你想知道現在的時間時非常有用。",
        "parameters": {},
    },
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "當你想查詢指定城市的天氣時非常有用。",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
        "required": ["location"],
    },
}


def calls(question: str, *more: dict[str, Any], **params: Any) -> list[dict[str, Any]] | None:
    messages = [{"role": "user", "content": question}, *more]
    body = {"messages": messages, "tools": [TIME, WEATHER], **params}
    return tool_calls_for(body, question)


def test_the_tool_that_fits_the_question_is_called_with_its_place() -> None:
    found = calls("北京天氣如何?")
    assert found is not None
    assert [call["function"]["name"] for call in found] == ["get_current_weather"]
    assert json.loads(found[0]["function"]["arguments"]) == {"location": "北京"}


def test_a_tool_without_parameters_gets_an_empty_object() -> None:
    found = calls("現在的時間?")
    assert found is not None
    assert found[0]["function"] == {"name": "get_current_time", "arguments": "{}"}


def test_parallel_calls_use_every_tool_with_its_own_index_and_id() -> None:
    found = calls("北京天氣如何?", parallel_tool_calls=True)
    assert found is not None
    assert [call["index"] for call in found] == [0, 1]
    assert len({call["id"] for call in found}) == 2


def test_tool_choice_decides() -> None:
    named = calls("北京天氣", tool_choice={"function": {"name": "get_current_time"}})
    assert named is not None
    assert named[0]["function"]["name"] == "get_current_time"
    assert calls("北京天氣", tool_choice="none") is None


def test_after_a_tool_s_result_comes_text_and_a_new_question_calls_again() -> None:
    result = {"role": "tool", "content": "rain"}
    assert calls("北京天氣", result) is None
    assert calls("北京天氣", result, {"role": "user", "content": "And 杭州?"}) is not None


def test_values_fit_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "unit": {"enum": ["celsius", "kelvin"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "alerts": {"type": "boolean"},
            "cities": {"type": "array", "items": {"type": "string"}},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
    }
    value = instance_of(schema, "Weather in Paris and 上海")
    assert value["unit"] in ("celsius", "kelvin")
    assert 1 <= value["days"] <= 7
    assert isinstance(value["alerts"], bool)
    assert isinstance(value["cities"][0], str)
    assert value["either"] is None


def test_a_schema_that_holds_itself_ends() -> None:
    loop: dict[str, Any] = {"type": "object", "properties": {}}
    loop["properties"]["again"] = loop
    assert isinstance(instance_of(loop, "x"), dict)
