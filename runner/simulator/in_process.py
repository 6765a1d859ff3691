"""The stand-in provider without sockets: it keeps its limits, and its answers have no text.

For a rehearsal on a simulated clock, where a request costs its accounting and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.errors import AnsweredError
from runner.records import Reply
from runner.simulator.error_lines import error_lines
from runner.simulator.limits import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Request, Usage
    from runner.simulator.settings import SimulatorSettings

_REFUSED_S: Final = 0.05  # a throttle answer takes no model


@dataclass(frozen=True, slots=True)
class Planned:
    """What an answer will be. Made by `rehearsal_answers`, consumed here."""

    usage: Usage
    seconds: float  # to its end
    is_cut: bool  # at the most tokens that the request allows


class InProcess:
    """What a run asks instead of a provider. `settings_of` gives the limits of a model."""

    def __init__(
        self,
        settings_of: Callable[[str], SimulatorSettings],
        *,
        plan: Callable[[Request], Planned],  # the same for a request whenever it is asked
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings_of = settings_of
        self._plan = plan
        self._gates: dict[str, Gate] = {}
        self.asked = 0  # attempts so far
        self.throttled = 0  # of these, refused for a limit
        self.settled_tokens = 0  # of answers that have ended, input and output

    @staticmethod
    def make_room_for(concurrency: int) -> None:
        """There is room for any number."""

    @staticmethod
    def room_for(concurrency: int) -> int:
        """As many as are wanted."""
        return concurrency

    async def send(self, request: Request, leaves: Callable[[], None]) -> Reply:
        """The answer that is planned. Raises AnsweredError: a throttle.

        There is no way to the server that could take time: it `leaves` at once.
        """
        leaves()
        loop, sent_s = self._loop, self._loop.time()
        self.asked += 1
        planned = self._plan(request)
        gate = self._gate(request.model)
        refusal = gate.admit(sent_s, planned.usage.prompt_tokens)
        if refusal is not None:
            self.throttled += 1
            await asyncio.sleep(_REFUSED_S)
            line = error_lines()[refusal]
            raise AnsweredError(line.status, line.code, line.message, headers={})
        await asyncio.sleep(planned.seconds)
        now_s = loop.time()
        gate.settle(now_s, planned.usage.total_tokens)
        self.settled_tokens += planned.usage.total_tokens
        return Reply(
            completion="", reasoning=None, tool_calls=None, choices=None,
            finish_reason="length" if planned.is_cut else "stop",
            model=request.model, response_id=None, created=None,
            usage=planned.usage, request_id=None,
            latency_s=now_s - sent_s,
        )  # fmt: skip

    def _gate(self, model: str) -> Gate:
        gate = self._gates.get(model)
        if gate is None:
            gate = self._gates[model] = Gate(self._settings_of(model))
        return gate
