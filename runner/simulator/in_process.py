"""The stand-in provider without sockets: limits, answer lengths and times, and no text.

For a rehearsal on a simulated clock, where a request costs its accounting and nothing else.
"""

from __future__ import annotations

import asyncio
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from runner.errors import AnsweredError
from runner.records import Reply, Usage
from runner.simulator.error_lines import error_lines
from runner.simulator.limits import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Request
    from runner.simulator.settings import SimulatorSettings

# Answers are log-normal, as real ones mostly are: half of the rows below 0.67 of the mean, one in
# a hundred above five times of it. As shares of the mean, for 256 equally likely ranks.
_SPREAD: Final = 0.9
_RAW = tuple(2.718281828 ** (_SPREAD * NormalDist().inv_cdf((at + 0.5) / 256)) for at in range(256))
_SHARE_AT_RANK: Final = tuple(one * len(_RAW) / sum(_RAW) for one in _RAW)
_REFUSED_S: Final = 0.05  # a throttle answer takes no model


class InProcess:
    """What a run asks instead of a provider. `settings_of` gives the limits of a model."""

    def __init__(
        self,
        settings_of: Callable[[str], SimulatorSettings],
        *,
        read: Callable[[Request], tuple[int, int | None]],  # prompt tokens; the longest answer
        mean_answer_tokens: float,
        answer_s: Callable[[float], float],  # an answer's tokens -> seconds to its end
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings_of = settings_of
        self._read = read
        self._mean = mean_answer_tokens
        self._answer_s = answer_s
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
        """An answer of the length that belongs to this request. Raises AnsweredError: a throttle.

        The same request has the same length whenever it is asked. There is no way to the server
        that could take time: it `leaves` at once.
        """
        leaves()
        loop, sent_s = self._loop, self._loop.time()
        self.asked += 1
        prompt, most = self._read(request)
        gate = self._gate(request.model)
        refusal = gate.admit(sent_s, prompt)
        if refusal is not None:
            self.throttled += 1
            await asyncio.sleep(_REFUSED_S)
            line = error_lines()[refusal]
            raise AnsweredError(line.status, line.code, line.message, headers={})
        wanted = max(1, round(self._mean * _SHARE_AT_RANK[int(request.key[:2], 16)]))
        answer = wanted if most is None else min(wanted, most)
        await asyncio.sleep(self._answer_s(answer))
        now_s = loop.time()
        gate.settle(now_s, prompt + answer)
        self.settled_tokens += prompt + answer
        return Reply(
            completion="", reasoning=None, tool_calls=None, choices=None,
            finish_reason="stop" if answer == wanted else "length",
            model=request.model, response_id=None, created=None,
            usage=Usage(prompt, answer, prompt + answer), request_id=None,
            latency_s=now_s - sent_s,
        )  # fmt: skip

    def _gate(self, model: str) -> Gate:
        gate = self._gates.get(model)
        if gate is None:
            gate = self._gates[model] = Gate(self._settings_of(model))
        return gate
