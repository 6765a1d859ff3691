"""What does usage cost at one endpoint, whatever models the rows name?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runner.prices import cost_pico

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.providers import ModelFacts
    from runner.records import Request, Usage

_SAYS_THINKING = b'"enable_thinking":'


class Prices:
    """Money for usage at one endpoint, whatever models the rows name."""

    def __init__(
        self, facts_of: Callable[[str], ModelFacts], model: str, params: Mapping[str, Any]
    ) -> None:
        self._facts_of = facts_of
        self._params = params
        own = "enable_thinking" in params.get("from_columns", {})
        self._rows_may_say = own or "enable_thinking" not in params
        price = facts_of(model).price
        self.currency = price.currency if price is not None else None

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        """What one attempt cost, in 1e-12 of `currency`; None where the price is unknown."""
        facts = self._facts_of(request.model)
        if facts.price is None or facts.price.currency != self.currency:
            return None
        thinking = reasoned or facts.thinks(self._params_of(request))
        return cost_pico(usage, facts.price, thinking=thinking)

    def _params_of(self, request: Request) -> Mapping[str, Any]:
        """The job's parameters, or the row's own where they say whether the model thinks."""
        if self._rows_may_say and _SAYS_THINKING in request.body:
            own: dict[str, Any] = orjson.loads(request.body)
            return own
        return self._params
