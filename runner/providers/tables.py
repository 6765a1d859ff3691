"""How are provider tables read and laid over each other? The file format of providers.toml.

Tables stay nested dictionaries with Decimal numbers; `runner.providers` gives them their meaning.
"""

from __future__ import annotations

import difflib
import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Table = dict[str, Any]

_BUILT_IN = Path(__file__).with_name("providers.toml")
_PARAMETERS = Path(__file__).with_name("parameters.toml")
_HEADINGS = {
    *("title", "api_key_env", "key_help", "default_region", "default_model", "refused_keys"),
    *("regions", "models", "retired", "limits", "cache", "batch", "prices"),
    *("sources", "parameters", "rules"),
}


@cache
def built_in() -> Table:
    """providers.toml and parameters.toml, parsed once a process (about 4 ms).

    Not to be changed by its readers.
    """
    providers, parameters = (
        tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
        for path in (_BUILT_IN, _PARAMETERS)
    )
    return laid_over(providers, parameters)


def read_own(path: str, place: str) -> Table:
    """A user's file, each figure marked as their own. Raises JobError beginning with `place`."""
    try:
        own = tomllib.loads(Path(path).expanduser().read_text("utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise JobError(f"{place}: cannot be read: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise JobError(f"{place}: not a TOML file: {error}") from None
    try:
        for provider, table in own.items():
            _check_headings(provider, table)
            for region, limits in table.get("limits", {}).items():
                _sign(limits, "limit", place, f"[{provider}.limits.{region}]")
            for region, by_currency in table.get("prices", {}).items():
                for currency, prices in by_currency.items():
                    _sign(prices, "price", place, f"[{provider}.prices.{region}.{currency}]")
    except (JobError, AttributeError) as error:
        reason = str(error) if isinstance(error, JobError) else "a heading holds no table"
        raise JobError(
            f"{place}: {reason} (the head of {_BUILT_IN} shows how it is written)"
        ) from None
    return own


def laid_over(below: Table, above: Table) -> Table:
    """A new table: `above` wins, tables are merged, anything else is replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both_tables = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = laid_over(old, value) if isinstance(old, dict) and both_tables else value
    return merged


def entry(leaf: Table, name: str, kind: str) -> tuple[Any, str, str]:
    """A figure with its date and source: its own, or those of the table that it stands in."""
    value = leaf[name]
    own: Table = value if isinstance(value, dict) else {kind: value}
    if kind not in own:
        raise JobError(f"{name} has no '{kind}'")
    as_of, source = (str(own.get(key, leaf.get(key, ""))) for key in ("as_of", "source"))
    return own[kind], as_of, source


def relatives(models: Table, name: str, *keys: str) -> Iterator[str]:
    """The model's name, then the names that its entry refers to, by the first of `keys` it has."""
    seen: set[str] = set()
    while name not in seen:
        yield name
        seen.add(name)
        flags: Table = models.get(name, {})
        name = next((flags[key] for key in keys if key in flags), name)


def meant(word: str, words: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: a proposal, where a known word is near."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{near[0]}'?" if near else "."


def _check_headings(provider: str, table: object) -> None:
    if not isinstance(table, dict):
        raise JobError(f"'{provider}' must be a table: [{provider}]")
    for heading in table.keys() - _HEADINGS:
        raise JobError(f"[{provider}] knows no '{heading}'{meant(heading, _HEADINGS)}")
    for heading in ("regions", "models", "retired"):
        for name, value in table.get(heading, {}).items():
            if not isinstance(value, dict):
                raise JobError(f"[{provider}.{heading}] {name} must be a table: {{ ... }}")


def _sign(leaf: Table, kind: str, place: str, where: str) -> None:
    """Mark the figures of a user's table as theirs, lest they pass for the built-in source's."""
    if not isinstance(leaf, dict):
        raise JobError(f"{where} must be a table")
    as_of, source = leaf.pop("as_of", "undated"), leaf.pop("source", place)
    for name, value in leaf.items():
        own = value if isinstance(value, dict) else {kind: value}
        leaf[name] = {"as_of": as_of, "source": source} | own
