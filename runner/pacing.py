"""Which limits hold for this run, and who said so?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import JobError
from runner.sizing import FIRST, MOST

if TYPE_CHECKING:
    from runner.job import LimitSettings
    from runner.providers import ModelFacts

UNKNOWN_PER_SECOND = 2.0  # for a model nobody told us about: slow enough to offend no one
_TOKENS_A_REQUEST = 500  # assumed where a model has a token limit and no request limit
_ANSWER_S = 60.0  # Little's law: workers = pace x time in flight; few answers take longer
_FEWEST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class ChosenLimits:
    """The limits of a run. Made here, consumed by `run`, printed at the start."""

    per_second: float | None  # requests; None: as fast as the workers can
    ramp: bool  # climb to the pace over a minute, since nobody asked for it
    tokens_per_minute: int | None
    workers: int  # at the start, where it is `auto`
    notes: tuple[str, ...]  # one line a limit: what holds and where it came from
    auto: bool = False  # as many workers as turn out to help
    pace_is_set: bool = False  # by the user: it then holds for all models together
    tokens_are_set: bool = False  # likewise

    @property
    def most_workers(self) -> int:
        """As many as there may ever be."""
        return MOST if self.auto else self.workers


def choose_limits(settings: LimitSettings, facts: ModelFacts) -> ChosenLimits:
    """Explicit limits, else the provider table's, else cautious ones. Raises JobError."""
    if settings.tpm is not None:
        tokens, tokens_note = settings.tpm, f"tokens: {settings.tpm:,} a minute (--tpm)"
    elif facts.tpm is not None:
        tokens = facts.tpm
        tokens_note = f"tokens: {facts.tpm:,} a minute ({_table(facts)}; --tpm changes it)"
    else:
        tokens, tokens_note = None, "tokens: no limit (--tpm sets one)"
    per_second, ramp, pace_note = _choose_pace(settings, facts, tokens)
    workers, workers_note = _choose_workers(settings, per_second)
    if settings.share is not None and per_second is None and tokens is None:
        raise JobError(
            f"--share {settings.share}: there is no limit to share; set --qps, --rpm or --tpm"
        )
    notes = (pace_note, tokens_note, workers_note)
    return ChosenLimits(
        per_second,
        ramp,
        tokens,
        workers,
        notes,
        auto=settings.concurrency == "auto",
        pace_is_set=settings.qps is not None or settings.rpm is not None,
        tokens_are_set=settings.tpm is not None,
    )


def _table(facts: ModelFacts) -> str:
    return f"provider table of {facts.as_of} for {facts.name}"


def _choose_pace(
    settings: LimitSettings, facts: ModelFacts, tokens: int | None
) -> tuple[float | None, bool, str]:
    asked = [
        (rate, flag)
        for rate, flag in (
            (settings.qps, "--qps"),
            (settings.rpm and settings.rpm / 60, f"--rpm {settings.rpm or 0:g}"),
        )
        if rate
    ]
    if asked:
        rate, flag = min(asked)
        return rate, False, f"pace: {rate:g} requests/s ({flag})"
    if facts.rpm is not None:
        rate = facts.rpm / 60
        why = f"{_table(facts)}, {facts.rpm:,} a minute"
    elif facts.tpm is not None and tokens is not None:
        rate = tokens / 60 / _TOKENS_A_REQUEST
        why = f"from {tokens:,} tokens a minute, {_TOKENS_A_REQUEST} a request assumed"
    elif settings.concurrency is not None:
        return None, False, "pace: no limit, only --concurrency (--qps sets one)"
    else:
        rate, why = UNKNOWN_PER_SECOND, "no limit is known for this model and address"
    return rate, True, f"pace: climbing to {rate:.3g} requests/s in a minute ({why}; --qps sets it)"


def _choose_workers(settings: LimitSettings, per_second: float | None) -> tuple[int, str]:
    if settings.concurrency == "auto":
        return FIRST, f"workers: {FIRST}, more while that helps, at most {MOST:,} (--concurrency)"
    if settings.concurrency is not None:
        return settings.concurrency, f"workers: {settings.concurrency} (--concurrency)"
    assert per_second is not None  # noqa: S101 - only --concurrency does without a pace
    needed = math.ceil(per_second * _ANSWER_S)
    workers = min(max(needed, _FEWEST_WORKERS), MOST)
    return workers, (
        f"workers: {workers} (the pace, with answers of up to {_short(workers / per_second)} s; "
        f"--concurrency sets it)"
    )


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
