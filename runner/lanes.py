"""Which limits hold for a request? The provider's are per model, the user's for all together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.limits import Limits, Pace, TokenBudget
from runner.records import Part
from runner.throttling import Throttling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.pacing import ChosenLimits

# A dataset may name any number of models; more than that of limits of their own no table has.
_MOST_LANES = 1000
# Rows of several models that wait for their paces: a quarter of the most workers there are.
_MOST_IN_LINES = 250


@dataclass(slots=True)
class Lane:
    """What one model's requests wait for, and what slows them."""

    limits: Limits
    throttling: Throttling | None  # None: there is no pace to slow


class Lanes:
    """A lane per model whose limits are known, made when its first request comes.

    All other models share the usual lane, which is that of the job's own model. What the user has
    set holds for all together.
    """

    def __init__(
        self,
        usual: Limits,
        throttling: Throttling | None = None,
        *,
        own: Callable[[str], ChosenLimits | None] = lambda _: None,
        one_pace: bool = False,  # set by the user
        one_budget: bool = False,  # likewise, of tokens
    ) -> None:
        self._usual = Lane(usual, throttling)
        self._own = own
        self._one_pace = one_pace
        self._one_budget = one_budget
        self._lanes: dict[str, Lane] = {}
        self._part = Part()
        self._paces = 1  # that requests may wait for

    @classmethod
    def of_run(cls, chosen: ChosenLimits, own: Callable[[str], ChosenLimits | None]) -> Lanes:
        """The lanes of a run; `own` knows the limits that a model has by itself."""
        pace = Pace(chosen.per_second, ramp=chosen.ramp) if chosen.per_second else None
        tokens = TokenBudget(chosen.tokens_per_minute) if chosen.tokens_per_minute else None
        return cls(
            Limits(pace, tokens),
            _throttling(pace),
            own=own,
            one_pace=chosen.pace_is_set,
            one_budget=chosen.tokens_are_set,
        )

    def of(self, model: str) -> Lane:
        """The lane of a model's requests."""
        lane = self._lanes.get(model)
        if lane is None:
            lane = self._new(model)
            if len(self._lanes) < _MOST_LANES:
                self._lanes[model] = lane
        return lane

    def _new(self, model: str) -> Lane:
        chosen, usual = self._own(model), self._usual
        if chosen is None or len(self._lanes) >= _MOST_LANES:
            return usual
        pace, tokens = usual.limits.pace, usual.limits.tokens
        if not self._one_pace:
            pace = Pace(chosen.per_second, ramp=chosen.ramp) if chosen.per_second else None
        if not self._one_budget:
            per_minute = chosen.tokens_per_minute
            tokens = TokenBudget(per_minute) if per_minute else None
        limits = Limits(pace, tokens)
        limits.take(self._part)
        self._paces += 1
        return Lane(limits, usual.throttling if self._one_pace else _throttling(pace))

    def _all(self) -> Iterator[Lane]:
        yield self._usual
        for lane in self._lanes.values():
            if lane is not self._usual:
                yield lane

    def take(self, part: Part) -> None:
        """From now on only this part of every limit; the others belong to runs that share them."""
        self._part = part
        for lane in self._all():
            lane.limits.take(part)

    def open(self) -> None:
        """Stop holding anyone back; the caller has made sure that nothing more is sent."""
        for lane in self._all():
            lane.limits.open()

    def set_pace(self, per_second: float | None) -> None:
        """From now on so many requests a second, all models together; None: as many as come."""
        usual = self._usual
        usual.limits.set_pace(per_second)
        if usual.limits.pace is None or usual.throttling is None:
            usual.throttling = _throttling(usual.limits.pace)
        self._one_pace = True
        for lane in self._all():
            lane.throttling = usual.throttling
            lane.limits.use_pace(usual.limits.pace)

    def set_tokens(self, per_minute: int | None) -> None:
        """From now on so many tokens a minute, all models together; None: as many as it takes."""
        usual = self._usual
        usual.limits.set_tokens(per_minute)
        self._one_budget = True
        for lane in self._all():
            lane.limits.use_tokens(usual.limits.tokens)

    def has_short_line(self) -> bool:
        """Whether another row may come: few wait already, so that a retry need not wait long.

        Of several models' limits the next row's own are not known before it has come, and one slow
        model must not keep the others from theirs.
        """
        if self._paces == 1:
            return self._usual.limits.has_short_line()
        if self._one_pace and (pace := self._usual.limits.pace) is not None:
            return pace.has_short_line()
        return self.at_pace < _MOST_IN_LINES

    @property
    def at_pace(self) -> int:
        """Requests that wait for their slot."""
        paces = {lane.limits.pace for lane in self._all()}
        return sum(pace.waiting for pace in paces if pace is not None)

    @property
    def at_tokens(self) -> bool:
        """Whether requests wait for tokens of the minute."""
        budgets = (lane.limits.tokens for lane in self._all())
        return any(tokens is not None and tokens.waiting > 0 for tokens in budgets)

    @property
    def slowed(self) -> bool:
        """Whether a pace for which requests wait is below what was asked for."""
        return any(
            lane.throttling is not None
            and lane.throttling.is_slowing
            and lane.limits.pace is not None
            and lane.limits.pace.waiting > 0
            for lane in self._all()
        )

    def to_json(self) -> dict[str, Any]:
        """The limits that hold now; `models`: those of models that have their own."""
        own = {
            model: _shown(lane.limits)
            for model, lane in self._lanes.items()
            if _shown(lane.limits) != _shown(self._usual.limits)
        }
        return {**_shown(self._usual.limits), **({"models": own} if own else {})}


def _shown(limits: Limits) -> dict[str, Any]:
    return {
        "qps": limits.pace.per_second if limits.pace is not None else None,
        "tpm": limits.tokens.per_minute if limits.tokens is not None else None,
    }


def _throttling(pace: Pace | None) -> Throttling | None:
    return None if pace is None else Throttling(pace, asyncio.get_running_loop().time)
