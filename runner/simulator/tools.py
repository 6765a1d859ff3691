"""Which tool does the stand-in model call, and with which arguments?"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import orjson

_PLACES: Final = (
    "北京", "杭州", "上海", "深圳", "广州", "成都", "新加坡", "余杭", "餘杭",
    "Beijing", "Hangzhou", "Shanghai", "Shenzhen", "Singapore", "London", "Paris",
)  # fmt: skip
_DEPTH_LIMIT: Final = 8  # a schema may refer to itself; deeper than this it gets null


def tool_calls_for(body: dict[str, Any], question: str) -> list[dict[str, Any]] | None:
    """The `tool_calls` of the answer, or None where the model answers with text.

    A request with tools is answered with a call until a tool message follows the last user
    message. The tool is the one whose name and description share most with the question; all of
    them in turn with `parallel_tool_calls`, the named one where `tool_choice` names one.
    """
    tools = [tool["function"] for tool in body.get("tools") or () if _is_function(tool)]
    choice = body.get("tool_choice")
    if not tools or choice == "none" or _has_tool_result(body["messages"]):
        return None
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        tools = [tool for tool in tools if tool["name"] == name]
    elif not body.get("parallel_tool_calls"):
        tools = [max(tools, key=lambda tool: _likeness(tool, question))]
    return [_call(tool, question, index) for index, tool in enumerate(tools)] or None


def _is_function(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _has_tool_result(messages: list[dict[str, Any]]) -> bool:
    for message in reversed(messages):
        if message.get("role") == "tool":
            return True
        if message.get("role") == "user":
            return False
    return False


def _likeness(tool: dict[str, Any], question: str) -> int:
    described = f"{tool['name']} {tool.get('description') or ''}".lower()
    pairs = {question[i : i + 2].lower() for i in range(len(question) - 1)}
    return sum(pair in described for pair in pairs if not pair.isspace())


def _call(tool: dict[str, Any], question: str, index: int) -> dict[str, Any]:
    arguments = instance_of(tool.get("parameters") or {}, question)
    text = orjson.dumps(arguments if isinstance(arguments, dict) else {}).decode()
    mark = blake2b(f"{tool['name']}\0{index}\0{question}".encode(), digest_size=11).hexdigest()
    function = {"name": tool["name"], "arguments": text}
    return {"index": index, "id": f"call_{mark}", "type": "function", "function": function}


def instance_of(schema: object, question: str, name: str = "", depth: int = 0) -> Any:
    """A value that fits a JSON schema, filled from the question; the same one every time.

    Places go into properties called location, city, place or 城市; other strings get the question.
    """
    if not isinstance(schema, dict) or depth > _DEPTH_LIMIT:
        return None
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][_number(question, name) % len(schema["enum"])]
    if "const" in schema:
        return schema["const"]
    for joined in ("anyOf", "oneOf"):
        if isinstance(schema.get(joined), list) and schema[joined]:
            return instance_of(schema[joined][0], question, name, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema or not schema:
        properties = schema.get("properties") or {}
        return {
            key: instance_of(part, question, key, depth + 1) for key, part in properties.items()
        }
    if kind == "array":
        return [instance_of(schema.get("items", {"type": "string"}), question, name, depth + 1)]
    return _scalar(kind, schema, question, name)


def _scalar(kind: object, schema: dict[str, Any], question: str, name: str) -> Any:
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 100)
        return low + _number(question, name) % max(1, int(high - low) + 1)
    if kind == "boolean":
        return _number(question, name) % 2 == 0
    if kind == "null":
        return None
    if any(word in name.lower() for word in ("location", "city", "place", "城市")):
        return min((p for p in _PLACES if p in question), key=question.find, default="杭州")
    return question[:200]


def _number(question: str, name: str) -> int:
    return int.from_bytes(blake2b(f"{name}\0{question}".encode(), digest_size=4).digest(), "big")
