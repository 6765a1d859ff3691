"""How long are the answers of a rehearsal, and how long do they take?"""

from __future__ import annotations

from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Final, NamedTuple

from runner.records import Usage
from runner.simulator import Planned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.estimate import Answer, Kind
    from runner.records import Request

# Answers are log-normal, as real ones mostly are: half of the rows below 0.67 of the mean, one in
# a hundred above five times of it. As shares of the mean, for 256 equally likely ranks.
_SPREAD: Final = 0.9
_RAW = tuple(2.718281828 ** (_SPREAD * NormalDist().inv_cdf((at + 0.5) / 256)) for at in range(256))
_SHARE_AT_RANK: Final = tuple(one * len(_RAW) / sum(_RAW) for one in _RAW)


class Asked(NamedTuple):
    """What a request wants. Made by `rehearsal`, consumed here."""

    prompt_tokens: int
    choices: int  # answers to the one prompt (`n`)
    most_tokens: int | None  # of all choices together; None: no bound
    kind: Kind  # of request: what decides, beside its prompt, how long answers may be


def assumed(
    read: Callable[[Request], Asked],
    *,
    mean_tokens: float,  # of all choices of a request together
    answer_s: Callable[[float], float],  # a choice's tokens -> seconds to its end
) -> Callable[[Request], Planned]:
    """Answers of which nothing is known but their mean length.

    The choices of a request are written at the same time: it takes as long as its longest one.
    """

    def plan(request: Request) -> Planned:
        prompt, choices, most, _ = read(request)
        most_each = None if most is None else most // choices
        ranks = bytes.fromhex(request.key)
        wanted = [
            max(1, round(mean_tokens / choices * _SHARE_AT_RANK[ranks[at % len(ranks)]]))
            for at in range(choices)
        ]
        written = wanted if most_each is None else [min(one, most_each) for one in wanted]
        total = sum(written)
        return Planned(
            Usage(prompt, total, prompt + total), answer_s(max(written)), written != wanted
        )

    return plan


def as_measured(
    read: Callable[[Request], Asked],
    answers: Sequence[Answer],
    *,
    mean_tokens: float,
    latency_s: float | None,
) -> Callable[[Request], Planned]:
    """Each request gets one of the `answers`, of which each succeeded: its length and its time.

    It is one to a request of the same kind, where there are such.
    Lengths are stretched evenly to `mean_tokens`. Prompts count as much more or less than they are
    counted here as those of the answers did. `latency_s`: what everyone takes, where that is said.
    """
    stretch = mean_tokens / max(1e-9, fmean(one.usage.completion_tokens for one in answers))
    billed = sum(one.usage.prompt_tokens for one in answers)
    more = billed / max(1, sum(one.counted for one in answers))

    by_kind: dict[Kind, list[Answer]] = {}
    for one in answers:
        by_kind.setdefault(one.kind, []).append(one)

    def plan(request: Request) -> Planned:
        asked = read(request)
        alike = by_kind.get(asked.kind, answers)
        drawn = alike[int(request.key[:8], 16) * len(alike) >> 32]
        usage = drawn.usage
        prompt = round(asked.prompt_tokens * more)
        wanted = round(usage.completion_tokens * stretch)
        written = wanted if asked.most_tokens is None else min(wanted, asked.most_tokens)
        cached = prompt * usage.cached_tokens // max(1, usage.prompt_tokens)
        thought = written * usage.reasoning_tokens // max(1, usage.completion_tokens)
        return Planned(
            Usage(prompt, written, prompt + written, cached, thought),
            latency_s or drawn.latency_s or 0.0,
            written < wanted,
        )

    return plan
