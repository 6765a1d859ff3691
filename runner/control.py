"""What a person wants changed while a run goes on, and how it gets to the process that runs it.

`penstock control` leaves it in RUN/control.json; the process looks there at each beat, applies it
and answers with its serial number in summary.json.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from pydantic import ValidationError

from runner.durable import replace_file
from runner.errors import JobError, RunFolderError
from runner.job import LimitSettings
from runner.lock import turn
from runner.summary import Summary
from runner.wrong_settings import told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.folder import RunFolder

_PACE = ("qps", "rpm")
_SETTINGS = (*_PACE, "tpm", "concurrency")
_WORDS = {"pause": True, "continue": False}
NONE: Final = "none"  # lifts a limit
_LOOK_EVERY_S = 0.05
_MOST_WAIT_S = 3.0  # some beats: a busy machine is late, and a dead process is told at once

Pace = float | Literal["none"] | None
Tokens = int | Literal["none"] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to hold from now on; None leaves it as it is. Made here, consumed by `run`."""

    per_second: Pace = None
    tokens_per_minute: Tokens = None
    workers: int | Literal["auto"] | None = None
    paused: bool | None = None

    def over(self, before: Wanted) -> Wanted:
        """This, and what was wanted before where this says nothing."""
        return Wanted(
            *(
                older if newer is None else newer
                for newer, older in zip(self._values(), before._values(), strict=True)
            )
        )

    def beyond(self, before: Wanted) -> Wanted:
        """What is new in this."""
        return Wanted(
            *(
                None if newer == older else newer
                for newer, older in zip(self._values(), before._values(), strict=True)
            )
        )

    def describe(self) -> str:
        """In words, for whoever watches the run."""
        words = []
        if self.per_second is not None:
            words.append(f"pace {_shown(self.per_second, ' requests/s')}")
        if self.tokens_per_minute is not None:
            words.append(f"tokens {_shown(self.tokens_per_minute, ' a minute')}")
        if self.workers is not None:
            words.append(f"workers {self.workers}")
        if self.paused is not None:
            words.append("paused; replies on their way land" if self.paused else "goes on")
        return ", ".join(words) or "as it was"

    def _values(self) -> tuple[Any, ...]:
        return self.per_second, self.tokens_per_minute, self.workers, self.paused

    def to_json(self) -> dict[str, Any]:
        """What is said, by name."""
        named = zip(self.__slots__, self._values(), strict=True)
        return {name: value for name, value in named if value is not None}


def _shown(value: float | str, unit: str) -> str:
    return "without a limit" if isinstance(value, str) else f"{value:,g}{unit}"


@dataclass(frozen=True, slots=True)
class Order:
    """One control.json. Written by `penstock control`, read by the process that runs the run."""

    serial: int  # grows with every order
    since: object  # when the process that is meant took the run's lock; not for its successors
    wanted: Wanted
    standing: Wanted = Wanted()  # without what may yet be refused


def parse_wanted(words: Sequence[str]) -> Wanted:
    """`qps=20 concurrency=64`, `pause` or `continue`. Raises JobError naming the word."""
    settings: dict[str, str] = {}
    paused: bool | None = None
    for word in words:
        name, equals, value = word.partition("=")
        if word in _WORDS:
            if paused not in {None, _WORDS[word]}:
                raise JobError("pause and continue at once: say one of them")
            paused = _WORDS[word]
        elif not equals or name not in _SETTINGS:
            raise JobError(
                f"{word}: there is no such setting; there are qps=20, rpm=600, tpm=100000, "
                f"concurrency=64, pause and continue. Others change with a resume"
            )
        elif name in settings:
            raise JobError(f"{name} is given twice")
        else:
            settings[name] = value
    if not settings and paused is None:
        raise JobError("say what is to change: qps=20, rpm=600, tpm=100000, concurrency=64, "
                       "pause or continue")  # fmt: skip
    return _wanted(settings, paused=paused)


def _wanted(settings: dict[str, str], *, paused: bool | None) -> Wanted:
    lifted = {name for name, value in settings.items() if value.strip().lower() == NONE}
    if "concurrency" in lifted:
        raise JobError("concurrency=none: there is always a limit; give a number, or auto")
    try:
        checked = LimitSettings.model_validate(
            {name: value for name, value in settings.items() if name not in lifted}
        )
    except ValidationError as error:
        raise JobError(_explain(settings, error)) from None
    rates = [rate for rate in (checked.qps, checked.rpm and checked.rpm / 60) if rate]
    pace: Pace = min(rates, default=None)
    if pace is None and lifted & set(_PACE):
        pace = NONE
    tokens: Tokens = NONE if "tpm" in lifted else checked.tpm
    return Wanted(pace, tokens, checked.concurrency, paused)


def _explain(settings: dict[str, str], error: ValidationError) -> str:
    return "\n".join(
        f"{name}={settings.get(name, '')}: {told(flaw)}"
        for flaw in error.errors(include_url=False)
        for name in [str(flaw["loc"][0]) if flaw["loc"] else "limits"]
    )


def read_order(path: Path, since: object) -> Order | None:
    """The order for the process that took the lock then; None where there is none."""
    try:
        data = orjson.loads(path.read_bytes())
        if data["since"] != since:
            return None  # it was for a process before this one
        return Order(
            int(data["serial"]),
            data["since"],
            Wanted(**data["wanted"]),
            Wanted(**data.get("standing", {})),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def send_order(folder: RunFolder, wanted: Wanted, name: str = "") -> Order:
    """Leave an order for the process that works on the run. Raises RunFolderError without one.

    What was ordered of the same process before stays in it, taken up or not, but for an order that
    it has refused. `name` is what the user calls the run.
    """
    name = name or str(folder.path)
    if not folder.is_live():
        raise RunFolderError(
            f"nobody is working on {name} now, so there is nothing to change. A resume takes its "
            f"limits as flags: penstock resume {shlex.quote(name)} --qps 20"
        )
    with turn(folder.control.with_name(".control.lock")):  # nobody's order drops another's
        since = folder.holder().get("since")
        before = read_order(folder.control, since) or Order(0, since, Wanted())
        order = _following(before, wanted, Summary.read(folder.summary))
        data = {
            "serial": order.serial,
            "since": since,
            "wanted": order.wanted.to_json(),
            "standing": order.standing.to_json(),
        }
        replace_file(folder.control, orjson.dumps(data) + b"\n", durable=False)
    return order


def _following(before: Order, wanted: Wanted, told: Summary | None) -> Order:
    """The next order: over the one before, unless the process has refused that."""
    base, standing = before.wanted, before.standing
    if told is not None and told.control and told.control["serial"] == before.serial:
        base = standing = standing if told.control["refused"] else base
    serial = max(time.time_ns(), before.serial + 1)
    return Order(serial, before.since, wanted.over(base), standing)


def wait_until_taken(folder: RunFolder, order: Order) -> Summary:
    """The run's summary once it has taken up the order. Raises RunFolderError when it does not."""
    until_s = time.monotonic() + _MOST_WAIT_S
    while time.monotonic() < until_s:
        told = Summary.read(folder.summary)
        if told is not None and told.control and told.control["serial"] >= order.serial:
            if told.control["refused"]:
                raise JobError(told.control["refused"])
            return told
        if not folder.is_live():
            raise RunFolderError(
                f"{folder.path}: its process ended before it could change anything; see "
                f"penstock status {folder.path}"
            )
        time.sleep(_LOOK_EVERY_S)
    raise RunFolderError(
        f"{folder.path}: its process has not answered for {_MOST_WAIT_S:.0f} s. It is there, and "
        f"takes it up when it can; see penstock status {folder.path}"
    )
