"""How long are the answers of a rehearsal, and how long do they take?"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

from runner.records import Usage
from runner.simulator import Planned

if TYPE_CHECKING:
    from collections.abc import Callable

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
        prompt, choices, most = read(request)
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
