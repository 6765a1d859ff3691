"""Which parameters may be sent? `check_params` tells what the provider will make of them.

A pure decision over the tables of parameters.toml. Nothing is a whitelist: a name that the tables
do not have passes with a note, and a file for --providers lifts a rule that no longer holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from runner.errors import JobError
from runner.providers.param_rules import READS, RULES, Asked
from runner.providers.param_values import KINDS, flaw_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from runner.providers.models import ModelFacts
    from runner.providers.tables import Table

_LEVELS = ("refuse", "warn", "note", "off")
_BOUNDS = ("from", "above", "to", "below")


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be said of a job's parameters. Made by `check_params`, consumed by `prepare`."""

    refusals: tuple[str, ...]  # the provider is known to refuse them
    warnings: tuple[str, ...]  # it may refuse them
    notes: tuple[str, ...]  # worth knowing


@dataclass(frozen=True, slots=True)
class Saying:
    """One rule of the table, its words ready. Made and consumed in this module."""

    level: str
    says: str  # with {model}
    written: str  # where it is written and how to lift it, for the end of a message


class ParameterTable:
    """A provider's parameters and rules. Raises JobError for a table that makes no sense."""

    def __init__(self, name: str, table: Table) -> None:
        self.name = name  # of the provider, as providers.toml has it
        self._sources: Table = table.get("sources", {})
        self.entries: dict[str, Mapping[str, Any]] = {}
        self.written: dict[str, str] = {}
        for name, entry in _tables(table, "parameters"):
            _check_entry(name, entry)
            self.entries[name] = {"level": "refuse", **entry}
            self.written[name] = self._place(f"parameters.{name}", entry)
        # what they turn on has prices of its own, which no count of tokens tells
        self.billed_apart = frozenset(
            name for name, entry in self.entries.items() if entry.get("billed_apart") is True
        )
        self.rules: dict[str, Saying] = {}
        for name, entry in _tables(table, "rules"):
            if name not in RULES or not isinstance(entry.get("says"), str):
                raise JobError(f"rules.{name}: there is no such rule")
            _check_level(f"rules.{name}", entry)
            place = self._place(f"rules.{name}", entry)
            self.rules[name] = Saying(entry["level"], entry["says"], place)

    def _place(self, key: str, entry: Mapping[str, Any]) -> str:
        named = str(entry.get("source", ""))
        source: Table = self._sources.get(named, {"page": named})
        told = ", ".join(str(source[key]) for key in ("page", "as_of") if source.get(key))
        return f"({told}; {key})" if told else f"({key})"


def check_params(
    params: Mapping[str, Any],
    facts: ModelFacts,
    table: ParameterTable,
    *,
    streamed: bool,
    says_json: bool | None = True,
    from_columns: Collection[str] = (),
    whole_requests: bool = False,
) -> Findings:
    """What is to be said of the parameters that all rows of a job have in common.

    `says_json`: whether a message has the word JSON; None: only the rows know. What rows bring of
    their own is not judged here: `from_columns` names it ("model" among it where rows name theirs),
    and with `whole_requests` it may be any parameter that `params` does not have.
    """
    found: dict[str, list[str]] = {level: [] for level in _LEVELS}
    columns = frozenset(from_columns)
    for name, flaw in _value_flaws(params, table):
        found[table.entries[name]["level"]].append(f"{name}: {flaw} {table.written[name]}")
    open_names = columns | (READS - params.keys() if whole_requests else frozenset())
    if "model" not in columns:
        open_names -= {"model"}
    asked = Asked(params, facts, streamed, says_json)
    for name, saying in table.rules.items():
        rule = RULES[name]
        if saying.level != "off" and not rule.reads & open_names and rule.is_broken(asked):
            found[saying.level].append(f"{_words(saying, facts)} {saying.written}")
    own = (name for name in from_columns if name != "model" and name not in params)
    found["note"] += _unknown([*params, *own], table)
    return Findings(tuple(found["refuse"]), tuple(found["warn"]), tuple(found["note"]))


def row_check(
    table: ParameterTable, facts_of: Callable[[str], ModelFacts], *, streamed: bool
) -> Callable[[str, Mapping[str, Any]], str | None]:
    """A function that says why the provider would refuse a model's request with these parameters.

    None: as far as the tables know, it would not. For rows with parameters of their own.
    """
    rules = [
        (RULES[name], saying) for name, saying in table.rules.items() if saying.level == "refuse"
    ]

    def refusal(model: str, params: Mapping[str, Any]) -> str | None:
        facts = facts_of(model)
        for name, flaw in _value_flaws(params, table):
            if table.entries[name]["level"] == "refuse":
                return f"{name}: {flaw} {table.written[name]}"
        asked = Asked(params, facts, streamed)
        for rule, saying in rules:
            if rule.is_broken(asked):
                return f"{_words(saying, facts)} {saying.written}"
        return None

    return refusal


def _value_flaws(params: Mapping[str, Any], table: ParameterTable) -> Iterable[tuple[str, str]]:
    for name, value in params.items():
        entry = table.entries.get(name)
        if entry is None or value is None or entry["level"] == "off":
            continue
        flaw = flaw_of(value, entry)
        if flaw is not None:
            yield name, flaw


def _words(saying: Saying, facts: ModelFacts) -> str:
    return saying.says.replace("{model}", facts.name)


def _unknown(names: Iterable[str], table: ParameterTable) -> list[str]:
    told = []
    for name in names:
        if name not in table.entries:
            near = get_close_matches(name, table.entries, n=1, cutoff=0.85)
            told.append(f"{name} (did you mean {near[0]}?)" if near else name)
    if not told:
        return []
    return [f"unknown to Penstock's table for {table.name}, sent as it stands: {', '.join(told)}"]


def _tables(table: Table, heading: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for name, entry in table.get(heading, {}).items():
        if not isinstance(entry, dict):
            raise JobError(f'{heading}.{name} must be a table, such as {{ level = "off" }}')
        yield name, entry


def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    place = f"parameters.{name}"
    if entry.get("kind") not in KINDS:
        raise JobError(f"{place} needs a kind, one of: {', '.join(KINDS)}")
    if entry["kind"] == "choice" and not isinstance(entry.get("of"), list):
        raise JobError(f"{place} needs the values to choose from: of = [...]")
    for bound in _BOUNDS:
        value = entry.get(bound, 0)
        if isinstance(value, bool | str | list | dict):
            raise JobError(f"{place}: {bound} must be a number")
    _check_level(place, {"level": "refuse", **entry})


def _check_level(place: str, entry: Mapping[str, Any]) -> None:
    if entry.get("level") not in _LEVELS:
        raise JobError(f"{place}: its level is one of {', '.join(_LEVELS)}")
