"""What holds between parameters, model and streaming? A predicate for each rule of the table.

`parameters.toml` says what follows from a rule, in which words, and where it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.providers.models import ModelFacts

_LARGEST_SEED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a request. Made by `check_params`, consumed by the rules."""

    params: Mapping[str, Any]
    facts: ModelFacts
    streamed: bool
    says_json: bool | None = True  # whether a message has the word; None: only the rows know

    @property
    def thinks(self) -> bool:
        """Whether the model thinks before it answers; one that no table knows, if it is told to."""
        if not self.facts.known and self.params.get("enable_thinking") is True:
            return True
        return self.facts.thinks(self.params)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a rule is broken, and what one must know to say so."""

    reads: frozenset[str]  # parameters, besides "model" and "messages"
    is_broken: Callable[[Asked], bool]


def _wants_json(asked: Asked, *types: str) -> bool:
    wanted = asked.params.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in types


def _forces_tool(asked: Asked) -> bool:
    choice = asked.params.get("tool_choice")
    return isinstance(choice, dict) or choice == "required"


def _chosen_tool_missing(asked: Asked) -> bool:
    choice, tools = asked.params.get("tool_choice"), asked.params.get("tools")
    if not isinstance(choice, dict) or not isinstance(choice.get("function"), dict):
        return False
    listed = tools if isinstance(tools, list) else []
    functions = (tool.get("function") for tool in listed if isinstance(tool, dict))
    names = {function.get("name") for function in functions if isinstance(function, dict)}
    return choice["function"].get("name") not in names


def _above(asked: Asked, name: str, bound: int) -> bool:
    value = asked.params.get(name)
    return isinstance(value, int | float) and value > bound


def _n_of_model(asked: Asked) -> bool:
    if not _above(asked, "n", 1):
        return False
    return not asked.facts.name.startswith("qwen-plus") or asked.thinks


def _zero_temperature(asked: Asked) -> bool:
    value = asked.params.get("temperature")
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def _thinks_by_default(asked: Asked) -> bool:
    facts = asked.facts
    told = asked.params.get("enable_thinking") is not None
    return facts.thinking_default and facts.can_stop_thinking and not told


def _max_tokens_with_thinking(asked: Asked) -> bool:
    params = asked.params
    limited = "thinking_budget" in params or "max_completion_tokens" in params
    return "max_tokens" in params and not limited and asked.thinks


def _rule(reads: str, is_broken: Callable[[Asked], bool]) -> Rule:
    return Rule(frozenset(reads.split()), is_broken)


RULES: Final[dict[str, Rule]] = {
    "stream_only": _rule("model", lambda it: not it.streamed and it.facts.stream_only),
    "thinking_in_stream": _rule(
        "model enable_thinking",
        lambda it: (
            not it.streamed
            and not it.facts.stream_only
            and it.facts.thinking_stream_only
            and it.thinks
        ),
    ),
    "thinking_restricted": _rule(
        "model enable_thinking",
        lambda it: (
            it.params.get("enable_thinking") is False
            and it.facts.can_think
            and not it.facts.can_stop_thinking
        ),
    ),
    "json_with_thinking": _rule(
        "model enable_thinking response_format",
        lambda it: _wants_json(it, "json_object", "json_schema") and it.thinks,
    ),
    "json_word": _rule(
        "response_format messages",
        lambda it: it.says_json is False and _wants_json(it, "json_object"),
    ),
    "json_word_in_rows": _rule(
        "response_format",
        lambda it: it.says_json is None and _wants_json(it, "json_object"),
    ),
    "effort_with_budget": _rule(
        "reasoning_effort thinking_budget",
        lambda it: (
            it.params.get("reasoning_effort") is not None
            and it.params.get("thinking_budget") is not None
        ),
    ),
    "n_with_tools": _rule(
        "n tools", lambda it: _above(it, "n", 1) and bool(it.params.get("tools"))
    ),
    "forced_tool_with_thinking": _rule(
        "model enable_thinking tool_choice", lambda it: _forces_tool(it) and it.thinks
    ),
    "required_tool": _rule(
        "model enable_thinking tool_choice",
        lambda it: it.params.get("tool_choice") == "required" and not it.thinks,
    ),
    "chosen_tool_missing": _rule("tool_choice tools", _chosen_tool_missing),
    "n_of_model": _rule("model enable_thinking n", _n_of_model),
    "tools_in_stream": _rule("tools", lambda it: it.streamed and bool(it.params.get("tools"))),
    "large_seed": _rule("seed", lambda it: _above(it, "seed", _LARGEST_SEED)),
    "top_logprobs_alone": _rule(
        "logprobs top_logprobs",
        lambda it: bool(it.params.get("top_logprobs")) and it.params.get("logprobs") is not True,
    ),
    "zero_temperature": _rule("temperature", _zero_temperature),
    "thinks_by_default": _rule("model enable_thinking", _thinks_by_default),
    "max_tokens_with_thinking": _rule(
        "model enable_thinking max_tokens thinking_budget max_completion_tokens",
        _max_tokens_with_thinking,
    ),
}
READS: Final = frozenset().union(*(rule.reads for rule in RULES.values()))
