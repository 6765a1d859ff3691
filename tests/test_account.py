"""What counts towards a limit, and what of it a new process must be able to find on disk."""

from __future__ import annotations

import pytest

from runner.account import LEASE_STEP, MOST_AT_RISK, Account

MOST = 1000


def account(*, on_disk: int = 0, **sums: int) -> Account:
    return Account(1, "tokens", MOST, lambda: on_disk, **{"billed": on_disk, **sums})


@pytest.mark.parametrize(
    ("sums", "left"),
    [
        ({}, 1000),
        ({"billed": 300}, 700),
        ({"lost": 300}, 700),
        ({"in_flight": 300}, 700),
        ({"billed": 300, "lost": 200, "in_flight": 400}, 100),
        ({"billed": 1200}, 0),  # a smaller limit than the run before had
    ],
)
def test_billed_lost_and_on_its_way_all_count(sums: dict[str, int], left: int) -> None:
    one = account(**sums)
    assert one.left == left
    assert one.fits(left) == (sum(sums.values()) <= MOST)
    assert not one.fits(left + 1)


def test_no_more_than_a_part_is_at_risk_but_one_attempt_always_may_be() -> None:
    part = MOST // MOST_AT_RISK
    assert account().is_prudent(MOST)
    assert account(in_flight=part - 10).is_prudent(10)
    assert not account(in_flight=part - 10).is_prudent(11)
    # Billed and not yet on disk would be lost by a kill as well.
    assert not account(in_flight=1, on_disk=100, billed=100 + part).is_prudent(1)


def test_what_is_billed_and_on_disk_needs_no_cover() -> None:
    one = account(on_disk=400, billed=450, lost=30, in_flight=20)
    assert (one.unsaved, one.to_cover) == (50, 100)
    assert one.next_cover() == 100 + MOST // LEASE_STEP
