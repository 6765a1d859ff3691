"""What is known of a model? Its limits, price and habits, as the provider tables have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import JobError
from runner.providers.price_list import Price, price_of
from runner.providers.tables import entry, meant, relatives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.providers.tables import Table

_SNAPSHOT = re.compile(r"-(latest|\d{4}-\d{2}-\d{2})$")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model at an endpoint. Made by `Providers.model`, consumed by `run`."""

    name: str
    known: bool  # whether the tables have this name
    rpm: int | None  # requests a minute; None beside a `tpm`: no such limit; both None: unknown
    tpm: int | None  # tokens a minute, input and output together
    as_of: str  # of these limits; "" where there are none
    source: str  # likewise
    price: Price | None  # None: unknown, which is not free
    stream_only: bool  # answers in a stream alone, thinking or not
    thinking_stream_only: bool  # thinks in a stream alone
    can_think: bool
    can_stop_thinking: bool
    thinking_default: bool  # whether it thinks when `enable_thinking` is not sent
    tokenizer: str  # family of its vocabulary: qwen, qwen3.5 or unknown
    max_prompt_tokens: int | None
    retired: str | None  # the day of its announced end, YYYY-MM-DD
    warnings: tuple[str, ...]  # for the person who starts the run

    def thinks(self, params: Mapping[str, Any]) -> bool:
        """Whether a request with these body parameters is in thinking mode, and billed so."""
        if not (self.can_think and self.can_stop_thinking):
            return self.can_think
        wanted = params.get("enable_thinking")
        return self.thinking_default if wanted is None else bool(wanted)

    def must_stream(self, params: Mapping[str, Any]) -> bool:
        """Whether the model refuses a request with these body parameters outside a stream."""
        return self.stream_only or (self.thinking_stream_only and self.thinks(params))


def facts_of(
    table: Table, region: str | None, currency: str | None, name: str, *, limits: bool
) -> ModelFacts:
    """A provider's table on one model. Without `limits`, those of the table do not hold here."""
    models: Table = table.get("models", {})
    flags = _flags(models, name)
    thinking = flags.get("thinking", "never")
    retired, retired_source = _retirement(table, name)
    rpm, tpm, as_of, source = limits_of(table, region, name) if limits else (None, None, "", "")
    return ModelFacts(
        name=name,
        known=name in models,
        rpm=rpm,
        tpm=tpm,
        as_of=as_of,
        source=source,
        price=price_of(table, region, currency, name),
        stream_only=flags.get("stream") == "only",
        thinking_stream_only=flags.get("stream") == "thinking",
        can_think=thinking != "never",
        can_stop_thinking=thinking != "only",
        thinking_default=thinking in {"on", "only"},
        tokenizer=flags.get("tokenizer", "qwen" if flags else "unknown"),
        max_prompt_tokens=flags.get("max_prompt"),
        retired=retired,
        warnings=_warnings(models, name, retired, retired_source),
    )


def limits_of(
    table: Table, region: str | None, name: str
) -> tuple[int | None, int | None, str, str]:
    """Requests and tokens a minute (None: no such limit, or unknown), their date and source."""
    limits: Table = table.get("limits", {}).get(region, {})
    for relative in relatives(table.get("models", {}), name, "limits_like", "like"):
        if relative in limits:
            pair, as_of, source = entry(limits, relative, "limit")
            whole = isinstance(pair, list) and all(type(n) is int and n >= 0 for n in pair)
            if not whole or len(pair) != 2:
                raise JobError("limits are written [requests per minute, tokens per minute]")
            return pair[0] or None, pair[1] or None, as_of, source
    return None, None, "", ""


def _flags(models: Table, name: str) -> Table:
    """A model's own flags over those of the model it is `like`.

    A snapshot that the table does not have thinks and streams as its family does; limits and
    prices are another matter and stay unknown.
    """
    if name not in models:
        name = _SNAPSHOT.sub("", name)
    flags: Table = {}
    for relative in relatives(models, name, "like"):
        flags = models.get(relative, {}) | flags
    return flags or ({"thinking": "never"} if name in models else {})


def _retirement(table: Table, name: str) -> tuple[str | None, str]:
    """The day of the announced end, and who announced it."""
    for day, ended in table.get("retired", {}).items():
        if name in ended.get("models", ()):
            return day, ended.get("source", "an announcement")
    return None, ""


def _warnings(models: Table, name: str, retired: str | None, source: str) -> tuple[str, ...]:
    if models and name not in models:
        text = (
            f"the model {name} is not in the provider tables{meant(name, models)} Its limits and "
            "price are unknown to Penstock; a file for --providers can tell them"
        )
        return (text,)
    if retired:
        text = (
            f"the model {name} was announced to end on {retired} ({source}). It may still answer "
            "for your account; if not, the provider says so at the first row"
        )
        return (text,)
    return ()
