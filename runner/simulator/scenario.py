"""Which error, for which request? Scenario files and error shares.

Decided without I/O and independently of the order of arrival wherever a rule allows it: a share is
drawn from the seed, the request's body and how often that body was asked before.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from runner.errors import JobError
from runner.simulator.error_lines import ANSWER, Line, error_lines, line_named


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule may look at. Made by `simulator` for each request, in order of arrival."""

    text: str  # the last user message
    model: str
    number: int  # of this request since the start, from 1
    attempt: int  # how often this body has been asked, this time included
    since_start_s: float  # since the first request
    digest: bytes  # of the body


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rule]]` of a scenario file: every condition given must hold."""

    line: Line | None = None  # None: the group `answer` of `matches` names it
    contains: str | None = None  # substring of the last user message
    matches: re.Pattern[str] | None = None  # searched in the last user message
    model: str | None = None
    request: tuple[float, float] | None = None  # first and last number since the start
    attempt: tuple[float, float] | None = None  # first and last number for this body
    seconds: tuple[float, float] | None = None  # span since the first request
    share: float | None = None  # of the requests that the rest fits
    times: int | None = None  # how often in all; None: always

    def outcome(self, seen: Seen, *, salt: str) -> Line | None:
        """The line to answer with, or None where the rule does not fit."""
        for span, value in (
            (self.request, seen.number),
            (self.attempt, seen.attempt),
            (self.seconds, seen.since_start_s),
        ):
            if span is not None and not span[0] <= value <= span[1]:
                return None
        if self.model is not None and self.model != seen.model:
            return None
        if self.contains is not None and self.contains not in seen.text:
            return None
        found = self.matches.search(seen.text) if self.matches else None
        if self.matches is not None and found is None:
            return None
        if self.share is not None and draw(salt, seen.digest, seen.attempt) >= self.share:
            return None
        if self.line is not None:
            return self.line
        name = found.group("answer") if found else ""
        return error_lines().get(str(name).lower())


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bad day to rehearse: rules in order, the first that fits decides."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read a scenario file (TOML). Raises JobError naming the file, the rule and the key."""
        try:
            data = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise JobError(f"--scenario {path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise JobError(f"--scenario {path}: not a TOML file: {error}") from None
        return cls.build(data, where=f"--scenario {path}")

    @classmethod
    def build(cls, data: dict[str, Any], *, where: str = "scenario") -> Scenario:
        """A scenario from TOML-shaped data."""
        if set(data) - {"rule"} or not isinstance(data.get("rule", []), list):
            raise JobError(f"{where}: a scenario holds nothing but [[rule]] tables")
        rules = data.get("rule", [])
        return cls(
            tuple(_rule(rule, f"{where}, rule {i}") for i, rule in enumerate(rules, start=1))
        )


NO_RULES: Final = Scenario()


class Decider:
    """Which line each request gets: the scenario's rules first, then the error shares."""

    def __init__(
        self, scenario: Scenario, errors: tuple[tuple[str, float], ...], *, seed: int
    ) -> None:
        self._rules = scenario.rules
        self._left = [rule.times for rule in scenario.rules]
        self._errors = [(line_named(name, where="errors"), share) for name, share in errors]
        self._seed = seed

    def decide(self, seen: Seen) -> Line:
        """The line for this request; `ANSWER` where nothing is wrong with it."""
        for index, rule in enumerate(self._rules):
            if self._left[index] == 0:
                continue
            line = rule.outcome(seen, salt=f"{self._seed} rule {index}")
            if line is not None:
                left = self._left[index]
                self._left[index] = None if left is None else left - 1
                return line
        if not self._errors:
            return ANSWER
        drawn = draw(f"{self._seed} errors", seen.digest, seen.attempt)
        for line, share in self._errors:
            if drawn < share:
                return line
            drawn -= share
        return ANSWER


def draw(salt: str, digest: bytes, attempt: int) -> float:
    """A number in [0, 1) that only these three decide."""
    mixed = blake2b(digest + b"%b %d" % (salt.encode(), attempt), digest_size=8).digest()
    return int.from_bytes(mixed, "big") / 2**64


def _rule(data: dict[str, Any], where: str) -> Rule:
    conditions = {
        "contains": str,
        "matches": str,
        "model": str,
        "times": int,
        "share": (int, float),
    }
    spans = ("request", "attempt", "seconds")
    outcome = {"answer", "status", "body", "headers", "content_type", "delay_s"}
    for key, value in data.items():
        if key not in conditions and key not in spans and key not in outcome:
            known = ", ".join(sorted({*conditions, *spans, *outcome}))
            raise JobError(f"{where}: there is no key '{key}'; the keys are {known}")
        if key in conditions and not isinstance(value, conditions[key]):  # type: ignore[arg-type]
            raise JobError(f"{where}: {key} = {value!r} has the wrong type")
    plain: dict[str, Any] = {
        key: data[key] for key in conditions if key in data and key != "matches"
    }
    pattern = _pattern(data["matches"], where) if "matches" in data else None
    named = pattern is not None and "answer" in pattern.groupindex
    line = None if named and not outcome & set(data) else _outcome(data, where)
    ranges: dict[str, Any] = {
        key: _span(data[key], f"{where}: {key}") for key in spans if key in data
    }
    return Rule(line=line, matches=pattern, **plain, **ranges)


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise JobError(f"{where}: matches = {text!r} is no regular expression: {error}") from None


def _span(value: object, where: str) -> tuple[float, float]:
    if isinstance(value, int | float):
        return float(value), float(value)
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(v, int | float) for v in value)
    ):
        return float(value[0]), float(value[1])
    raise JobError(f"{where}: give a number (3) or the first and the last one ([2, 5])")


def _outcome(data: dict[str, Any], where: str) -> Line:
    changes: dict[str, Any] = {key: data[key] for key in ("content_type", "delay_s") if key in data}
    if "answer" in data:
        line = line_named(str(data["answer"]), where=where)
    elif "status" in data:
        line = Line(f"status_{data['status']}", raw="")
    elif "delay_s" in data:
        line = ANSWER
    else:
        raise JobError(f"{where}: say what it answers: answer = NAME, status = N or delay_s = X")
    if "status" in data:
        changes["status"] = int(data["status"])
    if "body" in data:
        changes |= {"raw": data["body"], "how": "error"}
    if "headers" in data:
        changes["headers"] = {**line.headers, **data["headers"]}
    return replace(line, **changes)
