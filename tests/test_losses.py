from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from runner.errors import FailsRow
from runner.lease import Entry, Lease
from runner.losses import Losses, boundless
from runner.records import Request

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = 1


def request(row: int = 0) -> Request:
    return Request(row, b"{}", "", "qwen-plus")


def opened(lease: Lease, *, unit: str = "tokens", most: int | None = 100) -> Losses:
    def bound(_: Request) -> int:
        if most is None:
            raise FailsRow("budget", "no bound")
        return most

    return Losses(lease, TOKENS, unit, most=bound, spent=lambda _: 7)


def on_disk(path: Path) -> Entry:
    return Entry(**orjson.loads(path.read_bytes())["tokens"])


def test_nothing_is_written_while_every_bill_is_known(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease.json")
    opened(lease).close()
    assert not lease.writes


def test_what_is_lost_is_on_disk_before_the_next_attempt_and_exact_at_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lease.json"
    losses = opened(Lease(path))
    for count in range(1, 1001):
        losses.add(request())
        seen = on_disk(path)
        assert seen.lost + seen.leased >= 100 * count
    losses.close()
    assert on_disk(path) == Entry("tokens", None, 7, 100_000)


def test_a_server_that_never_tells_its_usage_costs_few_writes(tmp_path: Path) -> None:
    for most in (100, None):
        lease = Lease(tmp_path / f"{most}.json")
        losses = opened(lease, most=most)
        for _ in range(100_000):
            losses.add(request())
        assert lease.writes < 120


def test_what_a_killed_process_had_written_ahead_counts_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    opened(Lease(path)).add(request())
    again = Lease(path)
    again.take_up({TOKENS: 7})
    assert on_disk(path) == Entry("tokens", None, 7, 100 + 1000)
    opened(again).add(request())
    assert on_disk(path).lost == 1200


def test_attempts_without_a_bound_are_counted(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease.json")
    assert boundless(lease, TOKENS, 3) == 3, "nobody kept what they may have cost"
    losses = opened(lease, most=None)
    for _ in range(5):
        losses.add(request())
    losses.close()
    assert boundless(Lease(tmp_path / "lease.json"), TOKENS, 5) == 5


def test_one_sum_is_not_made_of_two_units(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    for unit in ("CNY", "USD"):
        losses = opened(Lease(path), unit=unit)
        losses.add(request())
        losses.close()
    assert on_disk(path) == Entry("CNY", None, 7, 100, boundless=1)
