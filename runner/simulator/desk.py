"""What becomes of one chat request: turned away, throttled, in trouble, or answered?

Decides without I/O; `simulator` reads the request before and sends the response after.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import orjson

from runner.simulator.cache import PromptCache
from runner.simulator.error_lines import Line, error_lines
from runner.simulator.limits import Gate
from runner.simulator.log import Asked
from runner.simulator.model import last_user_text, prompt_tokens
from runner.simulator.reply import answer_request
from runner.simulator.rules import refusal, shape_refusal, thinks
from runner.simulator.scenario import Decider, Seen, draw
from runner.simulator.trouble import Wire, answer_wire, error_wire

if TYPE_CHECKING:
    from runner.simulator.log import SimulatorLog
    from runner.simulator.reply import Answer
    from runner.simulator.settings import SimulatorSettings

_BODY_LIMIT_BYTES: Final = 16 * 1024 * 1024  # without base64, as the provider
_NOT_FOR_ANSWERS: Final = frozenset({"error", "data_prefixed"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to send for a request, and when. Made by `Desk`, consumed by `simulator`."""

    label: str  # the line's name, for the log
    how: str  # drop and hang send nothing
    wire: Wire
    delay_s: float = 0.0

    @property
    def answer(self) -> Answer | None:
        """What it bills."""
        return self.wire.answer


class Desk:
    """The whole state behind the answers: gates, scenario counts, prompt cache."""

    def __init__(self, settings: SimulatorSettings, log: SimulatorLog) -> None:
        self._settings = settings
        self._log = log
        self._gates: dict[str, Gate] = {}
        self._limited = any((settings.qps, settings.rpm, settings.tpm, settings.growth))
        self._decider = Decider(settings.scenario, settings.errors, seed=settings.seed)
        self._cache = PromptCache(settings.count_tokens)

    def receive(self, raw: bytes, now_s: float) -> Asked:
        """Count a request and read its body."""
        digest = blake2b(raw, digest_size=16).digest()
        attempt = self._log.arrived(now_s, digest)
        mark = digest.hex()
        request_id = f"{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:20]}-{attempt:012x}"
        known = now_s, digest, attempt, self._log.requests, request_id, len(raw)
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return Asked(*known, flaw="body_not_json")
        flaw = shape_refusal(body)
        if flaw is not None:
            return Asked(*known, flaw=flaw)
        return Asked(*known, body, None, last_user_text(body["messages"]), body["model"])

    def turn_away(self, asked: Asked, *, key_fits: bool) -> Verdict | None:
        """The refusal of a request that never reaches a model."""
        models = self._settings.models
        if not key_fits:
            return self._error("invalid_api_key", asked)
        if asked.size > _BODY_LIMIT_BYTES:
            return self._error("body_too_large", asked)
        if asked.flaw is not None:
            return self._error(asked.flaw, asked)
        if models and asked.model not in models:
            return self._error("model_not_found", asked)
        return None

    def throttle(self, asked: Asked, now_s: float) -> Verdict | None:
        """The refusal of a request beyond a limit; None counts it and lets it in."""
        if not self._limited:
            return None
        tokens = prompt_tokens(asked.body, self._settings.count_tokens) if self._settings.tpm else 0
        name = self._gate(asked.model).admit(now_s, tokens)
        if name is None:
            return None
        return self._error(name, asked, label=f"throttled:{name}")

    def burst_over_in_s(self, asked: Asked, now_s: float) -> float:
        """How long a request refused for growth has to wait at least."""
        return self._gate(asked.model).burst_over_in_s(now_s)

    def decide(self, asked: Asked) -> Verdict:
        """What the model says, or the trouble that the scenario or the shares have chosen."""
        since_s = asked.arrived_s - (self._log.first_s or 0.0)
        seen = Seen(asked.text, asked.model, asked.number, asked.attempt, since_s, asked.digest)
        line = self._decider.decide(seen)
        delay_s = self._delay_s(asked) if line.delay_s is None else line.delay_s
        if line.how in ("drop", "hang"):
            return Verdict(line.name, line.how, Wire(0, "", [], {}), delay_s)
        if line.how in _NOT_FOR_ANSWERS:
            return self._error(line.name, asked, line=line, delay_s=delay_s)
        refused = refusal(asked.body)
        if refused is not None:
            return self._error(refused, asked, delay_s=delay_s)
        return Verdict(line.name, line.how, self._answer(line, asked), delay_s)

    def end(self, asked: Asked, verdict: Verdict, now_s: float, *, status: int) -> None:
        """Count the end of a request: log, tokens, bill."""
        answer = verdict.answer
        if answer is not None and self._limited:
            tokens = answer.prompt_tokens + answer.completion_tokens
            self._gate(asked.model).settle(now_s, tokens)
        self._log.finished(now_s, asked=asked, status=status, line=verdict.label, answer=answer)

    def _gate(self, model: str) -> Gate:
        gate = self._gates.get(model)
        if gate is None:
            gate = self._gates[model] = Gate(self._settings)
        return gate

    def _delay_s(self, asked: Asked) -> float:
        low, high = self._settings.latency_s
        if high == low:
            return low
        salt = f"{self._settings.seed} latency"
        return low + (high - low) * draw(salt, asked.digest, asked.attempt)

    def _answer(self, line: Line, asked: Asked) -> Wire:
        count = self._settings.count_tokens
        answer = answer_request(
            asked.body,
            reply_id=f"chatcmpl-{asked.request_id}",
            created=int(time.time()),
            seed=self._settings.seed,
            count=count,
            thinks=thinks(asked.body),
            cached_tokens=self._cache.cached_tokens(asked.body),
        )
        return answer_wire(line, answer, asked.body, request_id=asked.request_id, count=count)

    def _error(
        self,
        name: str,
        asked: Asked,
        *,
        label: str | None = None,
        line: Line | None = None,
        delay_s: float = 0.0,
    ) -> Verdict:
        wire = error_wire(
            line or error_lines()[name], request_id=asked.request_id, model=asked.model
        )
        return Verdict(label or name, "error", wire, delay_s)
