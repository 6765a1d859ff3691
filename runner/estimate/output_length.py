"""How long will the answers be? Always a range of means, and always where it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import JobError
from runner.estimate.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.estimate.prompt_reading import Kind

# Where nothing is known, the mean over all rows is taken to lie between a label or a short phrase
# and a full page, and thinking between a few sentences and several pages. Assumptions, wide on
# purpose: no published mean holds for somebody else's task.
_ASSUMED_ANSWER = Range(20, 1000)
_ASSUMED_THINKING = Range(50, 4000)
# A mean that was measured on other rows rarely fits the next ones better than this.
_GIVEN_MARGIN = 0.1
_GIVEN = re.compile(r"(\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class OutputLength:
    """Tokens of one answer, as a mean over the rows. Made here, consumed by `estimate`."""

    completion: Range  # as billed: thinking included
    thinking: Range | None  # the part of it spent on thinking; None: does not think, or not told
    source: str  # where the range came from, for the reader
    assumed: bool  # nothing is known: pure assumption


def parse_output_tokens(text: str) -> Range:
    """`120` or `50:400`, completion tokens a request. Raises JobError naming the flag."""
    found = _GIVEN.fullmatch(text.strip().replace(",", "").replace("_", ""))
    if found is not None:
        low, high = float(found[1]), float(found[2] or found[1])
        if low <= high:
            return Range(low, high)
    raise JobError(
        f"--output-tokens {text}: give the mean of an answer's tokens (120), or a range of it "
        "(50:400); thinking counts as answer"
    )


def output_length(kind: Kind, *, thinks: bool, given: Range | None) -> OutputLength:
    """What is known of the answers to requests of one kind, all choices of a request together."""
    if given is not None:
        return _as_given(given, kind)
    answer = _ASSUMED_ANSWER
    sources = [f"nothing limits answers; {_told(answer)} each are assumed, a label to a page"]
    ceiling = kind.max_tokens if kind.max_tokens is not None else kind.max_completion_tokens
    if ceiling is not None:
        name = "max_tokens" if kind.max_tokens is not None else "max_completion_tokens"
        answer = Range(1, ceiling)
        sources = [f"{name}={ceiling:,} is the ceiling; answers may be far shorter"]
    thinking = None
    if thinks:
        thinking, why = _thinking(kind)
        sources.append(why)
    completion = answer + thinking if thinking is not None else answer
    whole = kind.max_completion_tokens
    if whole is not None:
        completion = Range(min(completion.low, whole), min(completion.high, whole))
        thinking = thinking and Range(min(thinking.low, whole), min(thinking.high, whole))
    if kind.choices > 1:
        sources.append(f"{kind.choices} answers to each (n)")
    assumed = ceiling is None or (thinks and kind.thinking_budget is None and whole is None)
    return OutputLength(
        completion * kind.choices,
        thinking and thinking * kind.choices,
        "; ".join(sources),
        assumed,
    )


def _as_given(given: Range, kind: Kind) -> OutputLength:
    source = f"--output-tokens {_number(given.low)}:{_number(given.high)}"
    if given.low == given.high:
        source = f"--output-tokens {_number(given.low)}, a tenth either way"
        given = Range(given.low * (1 - _GIVEN_MARGIN), given.high * (1 + _GIVEN_MARGIN))
    if kind.choices > 1:
        source += f"; {kind.choices} answers to each (n)"
    return OutputLength(given * kind.choices, None, source, assumed=False)


def _thinking(kind: Kind) -> tuple[Range, str]:
    budget = kind.thinking_budget
    if budget is not None:
        return Range(1, budget), f"thinking up to thinking_budget={budget:,}"
    if kind.max_completion_tokens is not None:
        return (
            Range(1, kind.max_completion_tokens),
            "thinking shares max_completion_tokens with the answer",
        )
    return (
        _ASSUMED_THINKING,
        f"thinking: {_told(_ASSUMED_THINKING)} assumed; thinking_budget sets a ceiling",
    )


def joined_sources(sources: Iterable[str]) -> str:
    """Each source once; of many, the first few."""
    distinct = list(dict.fromkeys(sources))
    more = f"; and {len(distinct) - 3} other ceilings" if len(distinct) > 3 else ""
    return "; or ".join(distinct[:3]) + more


def _told(length: Range) -> str:
    return f"{length.low:,.0f} to {length.high:,.0f} tokens"


def _number(value: float) -> str:
    return f"{value:.10g}"
