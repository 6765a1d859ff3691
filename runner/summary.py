"""What a run has come to: the JSON of summary.json, `status` and `--json`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from runner.durable import replace_file, write_over
from runner.errors import MachineFault
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from runner.damage import Damage

_MADE_ANEW = frozenset({"tally", "damaged"})  # when a summary is read


@dataclass(slots=True)
class Summary:
    """A run at one moment. Made by `run`, shown by the commands, kept in summary.json."""

    run: str  # the folder, or the file that stands for it
    state: str  # running, waiting, paused, draining, interrupted, stopped, finished, dead
    rows: int | None  # rows in scope; None while the dataset has not been read to its end
    tally: Tally
    elapsed_s: float  # of this process
    elapsed_before_s: float = 0.0  # of the processes before it
    stopped_by: str | None = None  # what ended it: the error's class in words
    stopped_at: float | None = None  # seconds since the epoch
    message: str | None = None
    next: str | None = None  # the command to go on with
    mend: str | None = None  # a flag that it needs, with a placeholder; None: none
    exit_status: int | None = None  # None while it runs
    rehearsal: bool = False
    pilot: int | None = None  # rows asked of a pilot, spread over the dataset; None: it is none
    estimated: dict[str, Any] | None = None  # low, high, currency, by: what it was to cost
    in_flight: int = 0
    most_in_flight: int = 0  # so many can be on their way before the next summary is written
    killed_attempts: int = 0  # up to so many were on their way when processes were killed
    parked: int = 0
    export: str | None = None
    budget: dict[str, Any] | None = None  # its limits, spent, lost, left; None: there is none
    limits: dict[str, Any] | None = None  # qps, tpm, concurrency; None: it does not run
    limited_by: str | None = None  # which limit binds now; None: it does not run
    control: dict[str, Any] | None = None  # the last order that was taken up
    superseded: dict[str, Any] | None = None  # paid for, but no part of the output any more
    layout: int = -1  # how often something had been superseded by then; -1: not told
    written_at: float | None = None  # seconds since the epoch; None: not read from its file
    damaged: list[Damage] = field(default_factory=list)  # that `status` found; in no file

    @property
    def pending(self) -> int | None:
        """Rows without a result; None while the number of rows is unknown."""
        return None if self.rows is None else max(0, self.rows - self.tally.rows)

    def killed_by_now(self) -> int:
        """`killed_attempts` where nobody works on the run any more: with those of its process."""
        return self.killed_attempts + (self.most_in_flight if self.exit_status is None else 0)

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `--json`; the last ones only where there is something."""
        tally = self.tally
        more: dict[str, Any] = {
            "elapsed_before_s": round(self.elapsed_before_s, 3) or None,
            "rehearsal": self.rehearsal or None,
            "pilot": self.pilot,
            "estimated": self.estimated,
            "budget": self.budget,
            "limits": self.limits,
            "limited_by": self.limited_by,
        }
        more["superseded"] = self.superseded
        more["killed_attempts"] = self.killed_attempts or None
        more["damaged"] = [flaw.to_json() for flaw in self.damaged] or None
        return {
            "run": self.run,
            "state": self.state,
            "rows": self.rows,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "pending": self.pending,
            "truncated": tally.truncated,
            "requests": tally.requests,
            "retries": tally.retries,
            "unmetered_attempts": tally.unmetered_attempts,
            "prompt_tokens": tally.prompt_tokens,
            "completion_tokens": tally.completion_tokens,
            "total_tokens": tally.total_tokens,
            "cost": tally.cost,
            "currency": tally.currency,
            "elapsed_s": round(self.elapsed_s, 3),
            "stopped_by": self.stopped_by,
            "stopped_at": self.stopped_at,
            "message": self.message,
            "next": self.next,
            **{name: value for name, value in more.items() if value is not None},
        }

    def write(self, path: Path) -> None:
        """Put the summary in its file, in one step; a last word on a full disk, in its place."""
        data = {
            **self.to_json(),
            "mend": self.mend,
            "exit_status": self.exit_status,
            "elapsed_before_s": self.elapsed_before_s,
            "rehearsal": self.rehearsal,
            "pilot": self.pilot,
            "estimated": self.estimated,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "killed_attempts": self.killed_attempts,
            "layout": self.layout,
            "parked": self.parked,
            "export": self.export,
            "budget": self.budget,
            "limits": self.limits,
            "limited_by": self.limited_by,
            "control": self.control,
            "superseded": self.superseded,
            "written_at": time.time(),
            "tally": self.tally.to_json(),
        }
        text = orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n"
        final = self.exit_status is not None
        try:
            replace_file(path, text, durable=final)
        except MachineFault:
            if not final:
                raise
            # Nothing else tells how many replies were cut off, or that all have landed.
            write_over(path, text)

    @classmethod
    def read(cls, path: Path) -> Summary | None:
        """The summary that was last written, or None when there is none."""
        try:
            data = orjson.loads(path.read_bytes())
            return cls(
                tally=Tally.from_json(data["tally"]),
                **{name: data[name] for name in cls.__slots__ if name in data.keys() - _MADE_ANEW},
            )
        except (OSError, orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
            return None
