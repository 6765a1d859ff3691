"""What is the most that one attempt can take? In money and in tokens, before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import FailsRow, JobError
from runner.prices import worst_case_pico
from runner.tokens import most_prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.account import Amount
    from runner.providers import ModelFacts, ParameterTable
    from runner.records import Request

# Parts of a message whose tokens have nothing to do with their bytes. Inside a text the quotes are
# escaped, so these bytes are keys or types and nothing else.
_NO_TEXT = (b'"image_url"', b'"video"', b'"video_url"', b'"input_audio"', b'"image"', b'"file"')
_CACHE_MARK = b'"cache_control"'  # writing an explicit cache costs more than plain input


class WorstCase:
    """Bounds on attempts at one endpoint. `currency` None: there is no limit on money."""

    def __init__(
        self,
        facts_of: Callable[[str], ModelFacts],
        parameters: ParameterTable,
        *,
        currency: str | None,
    ) -> None:
        self._facts_of = facts_of
        self._apart = parameters.billed_apart
        self._currency = currency

    def of(self, request: Request) -> Amount:
        """The most that one attempt at a request can take: (1e-12 of the currency, tokens).

        The input by its bytes, and n times the longest answer and thinking, at the dearest price
        that applies. Raises FailsRow where there is no such bound.
        """
        body = request.body
        params: dict[str, Any] = orjson.loads(body)
        facts = self._facts_of(request.model)
        completion = most_completion_tokens(params, facts)
        if completion is None:
            raise _unbounded(request, "it does not limit its answer: give it max_tokens")
        prompt = most_prompt_tokens(body)
        if any(mark in body for mark in _NO_TEXT):
            if facts.max_prompt_tokens is None:
                raise _unbounded(request, "what its images or sounds take is not known beforehand")
            prompt = max(prompt, facts.max_prompt_tokens)
        if self._currency is None:
            return 0, prompt + completion
        if facts.price is None or facts.price.currency != self._currency:
            raise _unbounded(request, f"the price of {request.model} is unknown")
        apart = billed_apart(params, self._apart)
        if apart or _CACHE_MARK in body:
            raise _unbounded(request, f"{apart or 'cache_control'} is billed apart from tokens")
        pico = worst_case_pico(facts.price, prompt, completion, thinking=facts.thinks(params))
        return pico, prompt + completion


def most_completion_tokens(params: Mapping[str, Any], facts: ModelFacts) -> int | None:
    """The longest that all choices of one answer can be, thinking included; None: no bound."""
    choices = _count(params.get("n") or 1)
    one = _count(params.get("max_completion_tokens"))
    if one is None:
        answer = _count(params.get("max_tokens"))
        thinking = _count(params.get("thinking_budget")) if facts.thinks(params) else 0
        one = None if answer is None or thinking is None else answer + thinking
    return None if choices is None or one is None else choices * one


def choices_of(params: Mapping[str, Any]) -> int:
    """How many answers a request wants to its prompt; 1 where its `n` is no such number."""
    return _count(params.get("n")) or 1


def billed_apart(params: Mapping[str, Any], names: frozenset[str]) -> str | None:
    """The first parameter that turns on something billed apart from tokens."""
    return next((name for name in sorted(names) if params.get(name)), None)


def check_bounds(
    params: Mapping[str, Any],
    from_columns: Mapping[str, str],
    facts: ModelFacts,
    parameters: ParameterTable,
    *,
    flag: str,
    money: bool,
    whole_requests: bool,
) -> None:
    """Raise JobError where a budget could not be kept; `flag` is the one that wants it.

    What rows bring themselves is judged row by row, by `WorstCase`.
    """
    if money and facts.price is None:
        raise JobError(
            f"{flag}: the price of {facts.name} is unknown here, and unknown is not free. Give it "
            f"with --providers FILE, or use --max-total-tokens"
        )
    apart = next((name for name in from_columns if name in parameters.billed_apart), None)
    apart = apart or billed_apart(params, parameters.billed_apart)
    if money and apart:
        raise JobError(
            f"{flag}: {apart} is billed apart from tokens, at prices that are not known here; "
            f"leave it out, or go without {flag}"
        )
    bounds = {"max_tokens", "max_completion_tokens", "thinking_budget", "n", "enable_thinking"}
    if whole_requests or (bounds | {"model"}) & from_columns.keys():
        return
    if most_completion_tokens(params, facts) is None:
        raise JobError(f"{flag}: {_what_is_missing(params, facts)}")


def _what_is_missing(params: Mapping[str, Any], facts: ModelFacts) -> str:
    if _count(params.get("max_tokens")):
        return (
            f"{facts.name} thinks before it answers, and how long is not limited. Add --param "
            f"thinking_budget=2000, or --param enable_thinking=false where the model allows it"
        )
    more = " --param thinking_budget=2000" if facts.thinks(params) else ""
    return (
        f"an answer of any length would have to fit into it, so nothing could be sent. Limit "
        f"answers: --param max_tokens=1000{more}"
    )


def _count(value: object) -> int | None:
    """A number of tokens or answers; None: it is no such number."""
    return value if type(value) is int and value > 0 else None


def _unbounded(request: Request, why: str) -> FailsRow:
    return FailsRow(
        "budget", f"row {request.row} was not sent, since no budget could hold for it: {why}"
    )
