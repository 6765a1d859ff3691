"""What may attempts have cost that no limit held back and nobody sent a bill for?

A budget that is set later must hold over the run's whole life, so it has to know. The most that
each such attempt can have taken goes into the lease before its row's bill does; no attempt costs
anything before it has ended so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import FailsRow
from runner.lease import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.lease import Lease
    from runner.records import Request

# The lease is written ahead by a tenth, so that a server which never tells its usage does not cost
# a write for each answer. A killed process leaves that much too much as lost.
_AHEAD = 10


class Losses:
    """What is lost of money or tokens while that kind has no limit."""

    def __init__(
        self,
        lease: Lease,
        kind: int,
        unit: str,  # a currency's name, or "tokens"
        *,
        most: Callable[[Request], int],  # that an attempt can take; raises FailsRow
        spent: Callable[[str], int],  # in a unit, by results on disk
    ) -> None:
        self._lease, self.kind = lease, kind
        self._most, self._spent = most, spent
        before = lease.found(kind)
        self._is_open = False
        self._of_old_unit = before is not None and before.unit != unit and before.lost > 0
        self._entry_unit = before.unit if before is not None and self._of_old_unit else unit
        self._lost = before.lost if before is not None else 0
        self._boundless = before.boundless if before is not None else 0
        self._covered = self._lost

    def add(self, request: Request) -> None:
        """An attempt may be billed, nobody said how much. Raises MachineFault."""
        self._is_open = True
        try:
            amount = None if self._of_old_unit else self._most(request)
        except FailsRow:
            amount = None
        if amount is None:
            self._boundless += 1
            if self._boundless.bit_count() == 1:  # whether there are any is what matters
                self._write()
            return
        self._lost += amount
        if self._lost > self._covered:
            self._covered = self._lost + max(self._lost // _AHEAD, _AHEAD * amount)
            self._write()

    def close(self) -> None:
        """The clean end: what is lost stands in the lease exactly. Raises MachineFault."""
        if self._is_open:
            self._covered = self._lost
            self._write()

    def _write(self) -> None:
        unit = self._entry_unit
        leased = self._covered - self._lost
        self._lease.put(
            self.kind, Entry(unit, None, self._spent(unit), self._lost, leased, self._boundless)
        )


def boundless(lease: Lease, kind: int, unmetered: int) -> int:
    """How many attempts may have cost nobody knows how much. `unmetered`: by results on disk."""
    entry = lease.found(kind)
    return unmetered if entry is None else entry.boundless
