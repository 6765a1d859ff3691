"""Is this a value that the provider takes for a parameter? One value, without its neighbours."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Entry = Mapping[str, Any]

# 工具函數的名稱 in the provider's parameter table of 2025-11: letters, digits, _ and -, at most 64
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFUSED_TOOL_NAMES: Final = frozenset({"search"})  # its error page, 2026-09
_FORMATS: Final = ("text", "json_object", "json_schema")
_SHOWN_CHARACTERS: Final = 60


def flaw_of(value: object, entry: Entry) -> str | None:
    """What is wrong with `value` under its entry of the table; None if nothing is."""
    return KINDS[entry["kind"]](value, entry)


def shown(value: object) -> str:
    """A value as a message shows it: JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _number(value: object, entry: Entry) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{shown(value)} is no number{_bounds(entry)}"
    return None if _is_within(value, entry) else f"{shown(value)} is out of range{_bounds(entry)}"


def _integer(value: object, entry: Entry) -> str | None:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        return f"{shown(value)} is no whole number{_bounds(entry)}"
    return _number(value, entry)


def _is_within(value: float, entry: Entry) -> bool:
    return (
        ("from" not in entry or value >= entry["from"])
        and ("above" not in entry or value > entry["above"])
        and ("to" not in entry or value <= entry["to"])
        and ("below" not in entry or value < entry["below"])
    )


def _bounds(entry: Entry) -> str:
    words = {"from": "{} or more", "above": "more than {}", "to": "at most {}", "below": "below {}"}
    told = [word.format(entry[name]) for name, word in words.items() if name in entry]
    return f": {' and '.join(told)}" if told else ""


def _boolean(value: object, entry: Entry) -> str | None:
    del entry
    return None if isinstance(value, bool) else f"{shown(value)} is neither true nor false"


def _text(value: object, entry: Entry) -> str | None:
    del entry
    return None if isinstance(value, str) else f"{shown(value)} is no text"


def _object(value: object, entry: Entry) -> str | None:
    del entry
    return None if isinstance(value, dict) else f"{shown(value)} is no object"


def _choice(value: object, entry: Entry) -> str | None:
    return (
        None if value in entry["of"] else f"{shown(value)} is not one of {', '.join(entry['of'])}"
    )


def _stop(value: object, entry: Entry) -> str | None:
    """Text, or a list of texts, of token ids, or of lists of token ids; never mixed."""
    del entry
    if isinstance(value, str):
        return None
    if not isinstance(value, list):
        return f"{shown(value)} is neither text nor a list"
    kinds = {_stop_kind(element) for element in value}
    if None in kinds:
        return f"{shown(value)} holds something other than texts, token ids and lists of token ids"
    if len(kinds) > 1:
        return f"{shown(value)} mixes texts and token ids: give all of one kind"
    return None


def _stop_kind(element: object) -> str | None:
    if isinstance(element, str):
        return "text"
    if _is_token(element):
        return "token"
    if isinstance(element, list) and all(_is_token(token) for token in element):
        return "tokens"
    return None


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tools(value: object, entry: Entry) -> str | None:
    del entry
    if not isinstance(value, list):
        return f"{shown(value)} is no list of tools"
    flaws = (_tool(tool, f"tools[{at}]") for at, tool in enumerate(value))
    return next((flaw for flaw in flaws if flaw), None)


def _tool(tool: object, where: str) -> str | None:
    if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
        return f'{where} is not {{"type": "function", "function": {{...}}}}'
    if tool.get("type") != "function":
        return f"{where}.type is {shown(tool.get('type'))}; there is function alone"
    function = tool["function"]
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        return (
            f"{where}.function.name {shown(name)}: letters, digits, _ and - are allowed, "
            "at most 64 of them"
        )
    if name in _REFUSED_TOOL_NAMES:
        return f"{where}.function.name: no tool may be called {name} (its error page of 2026-09)"
    if not isinstance(function.get("parameters", {}), dict | None):
        return f"{where}.function.parameters is no JSON Schema object"
    return None


def _tool_choice(value: object, entry: Entry) -> str | None:
    del entry
    if isinstance(value, dict):
        function = value.get("function")
        named = isinstance(function, dict) and isinstance(function.get("name"), str)
        if value.get("type") == "function" and named:
            return None
    elif value in ("auto", "none", "required"):
        return None
    return (
        f'{shown(value)} is neither auto nor none nor {{"type": "function", "function": '
        '{"name": "..."}}'
    )


def _response_format(value: object, entry: Entry) -> str | None:
    del entry
    if isinstance(value, dict) and value.get("type") in _FORMATS:
        return None
    return f'{shown(value)} is not {{"type": "..."}} with {", ".join(_FORMATS)}'


def _any(value: object, entry: Entry) -> None:
    del value, entry


KINDS: Final[dict[str, Callable[[object, Entry], str | None]]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "text": _text,
    "object": _object,
    "choice": _choice,
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "any": _any,
}
