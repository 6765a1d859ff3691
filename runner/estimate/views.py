"""From where is a census looked at? A model, and what somebody knows better than the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.estimate.measured import Measured
    from runner.estimate.ranges import Range
    from runner.providers import ModelFacts, Price

_GRID_TOKENS = 1000
_LONGEST_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the person who asks knows better than the tables. Made by `estimate`."""

    output_tokens: Range | None = None
    price: Price | None = None
    latency_s: float | None = None
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One of the models to be compared. Made by `estimate` and `first_look`."""

    model: str | None  # None: whatever each row names
    facts: ModelFacts  # of the job's model where `model` is None
    exact: bool
    error_share: float
    tokenizer: str  # its name


def bounds_of(views: Sequence[View]) -> tuple[int, ...]:
    """The prompt lengths at which a price changes, also where counts are off; and a grid.

    Every price known so far is met exactly. Of models that only the rows name, tiers at round
    thousands are, as all published ones have them.
    """
    bounds = set(range(_GRID_TOKENS, _LONGEST_TOKENS + 1, _GRID_TOKENS))
    for view in views:
        steps = [tier.up_to for tier in view.facts.price.tiers] if view.facts.price else []
        for step in (*steps, view.facts.max_prompt_tokens):
            if step is not None:
                factors = (1 - view.error_share, 1.0, 1 + view.error_share)
                bounds |= {int(step / factor) for factor in factors}
    return tuple(sorted(bounds))
