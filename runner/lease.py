"""RUN/lease.json: what a budget has lost for ever, and what is at risk and may yet be lost.

Written durably before money is risked that it does not cover, and given back at a clean end. A
lease that is still there when the next process starts was left by one that was killed: nobody
knows what of it was billed, so all of it counts as lost, as far as it fits into the budget that
held then.

The file also remembers what was spent. Should fewer results be found later (a damaged journal
line, a part that was deleted), the difference was paid for all the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from runner.durable import faults, replace_file
from runner.errors import MachineFault

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.account import Account

_NAMES = ("cost", "tokens")  # by an account's kind


@dataclass(frozen=True, slots=True)
class Entry:
    """What the file says of one account."""

    unit: str
    most: int | None  # the limit that held when it was written; None: none did
    spent: int  # by results on disk
    lost: int
    leased: int = 0  # at risk, and what may be put at risk without another write
    boundless: int = 0  # attempts that may have cost nobody knows how much, under no limit

    def settled(self, spent: int) -> Entry:
        """The entry at the start of a process that finds results which add up to `spent`."""
        lost = self.lost
        if self.leased:
            # The limit held: what was billed besides these results fits into it beside them.
            room = lost + self.leased if self.most is None else self.most - spent
            lost = max(lost, min(lost + self.leased, room))
        lost += max(0, self.spent - spent)
        return replace(self, spent=max(spent, 0), lost=lost, leased=0)


class Lease:
    """The file of one run, in the hands of the one process that holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = _read(path)
        self.writes = 0

    def found(self, kind: int) -> Entry | None:
        """What the file says of money (0) or tokens (1)."""
        return self._entries.get(_NAMES[kind])

    def take_up(self, spent: dict[int, int]) -> None:
        """Count as lost what a killed process left behind. `spent`: by kind, from results on disk.

        Call it once at the start, with a budget or without. Raises MachineFault.
        """
        before = dict(self._entries)
        for kind, amount in spent.items():
            entry = self.found(kind)
            if entry is not None:
                self._entries[_NAMES[kind]] = entry.settled(amount)
        if any(one != before[name] for name, one in self._entries.items()):
            self._write()

    def put(self, kind: int, entry: Entry) -> None:
        """Write what is lost of a kind that has no limit now. Raises MachineFault."""
        self._entries[_NAMES[kind]] = entry
        self._write()

    def cover(self, accounts: Iterable[Account]) -> None:
        """Lease what the accounts have at risk, and a step more. Raises MachineFault."""
        wanted = [(account, account.next_cover()) for account in accounts]
        for account, covered in wanted:
            self._enter(account, lost=account.lost, leased=covered - account.lost)
        self._write()
        for account, covered in wanted:
            account.covered = covered

    def give_back(self, accounts: Iterable[Account]) -> None:
        """The clean end: nothing is at risk any more. Raises MachineFault.

        What was billed for rows that have no result on disk stays with the run as lost.
        """
        for account in accounts:
            self._enter(account, lost=account.lost + account.in_flight + account.unsaved)
            account.covered = account.to_cover
        self._write()

    def _enter(self, account: Account, *, lost: int, leased: int = 0) -> None:
        name = _NAMES[account.kind]
        self._entries[name] = Entry(account.unit, account.most, account.spent(), lost, leased)

    def _write(self) -> None:
        data = {name: asdict(entry) for name, entry in self._entries.items()}
        replace_file(self.path, orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
        self.writes += 1


def _read(path: Path) -> dict[str, Entry]:
    with faults("read", path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return {}
    try:
        data: dict[str, dict[str, Any]] = orjson.loads(text)
        return {name: Entry(**entry) for name, entry in data.items() if name in _NAMES}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MachineFault(
            f"{path} is damaged ({error}): it says what attempts without a known bill may have "
            f"cost. Restore it from a copy; or delete it, and go on without a budget"
        ) from None
