from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from crash import Crash, Killed

from runner.account import Account
from runner.errors import MachineFault
from runner.lease import Entry, Lease

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1000


def account(*, billed: int = 0, spent: int | None = None, lost: int = 0, out: int = 0) -> Account:
    on_disk = billed if spent is None else spent
    return Account(
        0, "USD", MOST, lambda: on_disk, billed=billed, lost=lost, in_flight=out, covered=lost
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease.json"


def test_without_a_file_nothing_is_lost(path: Path) -> None:
    lease = Lease(path)
    lease.take_up({0: 500, 1: 20})
    assert lease.found(0) is None
    assert not path.exists()


def test_a_lease_that_was_given_back_loses_nothing(path: Path) -> None:
    lease, one = Lease(path), account(billed=100, out=50)
    lease.cover([one])
    one.in_flight = 0
    lease.give_back([one])
    again = Lease(path)
    again.take_up({0: 100})
    assert again.found(0) == Entry("USD", MOST, 100, 0)


def test_a_lease_left_by_a_killed_process_is_lost_once_and_for_ever(path: Path) -> None:
    one = account(billed=100, lost=30, out=50)
    Lease(path).cover([one])
    assert one.covered == 30 + 50 + MOST // 100
    for _ in range(3):
        lease = Lease(path)
        lease.take_up({0: 100})
        assert lease.found(0) == Entry("USD", MOST, 100, 90)


def test_what_a_killed_process_can_have_lost_fits_beside_the_results_it_left(path: Path) -> None:
    Lease(path).cover([account(billed=940, out=60)])
    lease = Lease(path)
    lease.take_up({0: 970})
    assert lease.found(0) == Entry("USD", MOST, 970, 30)


def test_results_that_are_gone_were_paid_for_all_the_same(path: Path) -> None:
    Lease(path).give_back([account(billed=400, lost=5)])
    lease = Lease(path)
    lease.take_up({0: 380})
    assert lease.found(0) == Entry("USD", MOST, 380, 25)
    lease = Lease(path)
    lease.take_up({0: 380})
    assert lease.found(0) == Entry("USD", MOST, 380, 25)


def test_what_was_billed_for_rows_without_a_result_stays_with_the_run(path: Path) -> None:
    Lease(path).give_back([account(billed=100, spent=80, lost=1)])
    lease = Lease(path)
    lease.take_up({0: 80})
    assert lease.found(0) == Entry("USD", MOST, 80, 21)


def test_the_other_account_of_an_earlier_process_is_kept(path: Path) -> None:
    Lease(path).give_back([account(billed=10, lost=7)])
    lease = Lease(path)
    lease.give_back([Account(1, "tokens", 50, lambda: 5, billed=5)])
    again = Lease(path)
    assert again.found(0) == Entry("USD", MOST, 10, 7)
    assert again.found(1) == Entry("tokens", 50, 5, 0)


def test_a_crash_at_any_moment_leaves_the_old_lease_or_the_new_one(tmp_path: Path) -> None:
    for after in range(10):
        path = tmp_path / f"{after}.json"
        Lease(path).cover([account(out=10)])
        with pytest.MonkeyPatch.context() as patch:
            crash = Crash(patch, after=after)
            with suppress(Killed):
                Lease(path).cover([account(out=500)])
        found = Lease(path).found(0)
        assert found is not None
        assert found.leased in {20, 510}
        if not crash.happened:
            assert found.leased == 510
            return
    pytest.fail("it writes more often than it should")


@pytest.mark.parametrize("text", [b"", b"[1]", b'{"cost": 3}', b'{"cost": {"unit": "USD"}}'])
def test_a_damaged_file_is_named_and_nothing_is_guessed(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(MachineFault, match=r"lease\.json is damaged"):
        Lease(path)
