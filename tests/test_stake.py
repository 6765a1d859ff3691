"""A stake is settled once: billed, not billed, or lost when it was sent and nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.stake import FREE, Stake

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.account import Amount

WORST = (7, 100)


class Till:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Amount, Amount, bool]] = []

    def settle(self, worst: Amount, *, billed: Amount = (0, 0), lost: bool = False) -> None:
        self.told.append((worst, billed, lost))


def unsent(_: Stake) -> None:
    pass


def billed_twice(stake: Stake) -> None:
    stake.sent()
    stake.billed((1, 20))
    stake.billed((2, 30))
    stake.not_billed()


def refused(stake: Stake) -> None:
    stake.sent()
    stake.not_billed()
    stake.billed((2, 30))


@pytest.mark.parametrize(
    ("what_becomes_of_it", "billed", "lost"),
    [
        (unsent, (0, 0), False),
        (Stake.sent, (0, 0), True),
        (billed_twice, (1, 20), False),
        (refused, (0, 0), False),
    ],
)
def test_it_is_settled_once(
    what_becomes_of_it: Callable[[Stake], None], billed: Amount, *, lost: bool
) -> None:
    till = Till()
    with Stake(till, WORST) as stake:
        what_becomes_of_it(stake)
    assert till.told == [(WORST, billed, lost)]


def test_an_error_after_sending_leaves_it_lost() -> None:
    till = Till()

    def break_off() -> None:
        with Stake(till, WORST) as stake:
            stake.sent()
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert till.told == [(WORST, (0, 0), True)]


def test_without_a_budget_nothing_is_at_stake() -> None:
    with FREE as stake:
        stake.sent()
        stake.billed((1, 20))
        stake.not_billed()
    assert FREE.amount == (0, 0)
