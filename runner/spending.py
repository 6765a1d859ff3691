"""What may this run still take? Its budget, from the flags and from all that it took before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.account import Account
from runner.budget import Budget
from runner.budget_history import check_history
from runner.budget_limits import FLAGS, MONEY, TOKENS, limits_of, shown, worst_case_of
from runner.counted import counted
from runner.errors import BudgetReached
from runner.lease import Lease
from runner.losses import Losses
from runner.prices import to_amount
from runner.tally import PICO, Tally
from runner.worst_case import WorstCase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.preflight import Preflight
    from runner.records import Request
    from runner.stake import Stake


@dataclass(frozen=True, slots=True)
class Position:
    """How many rows there are, for what the rest would take. Made by whoever runs the run."""

    done: int
    pending: int | None  # None: the dataset has not been read to its end


class Spending:
    """The budget of one process on a run. Made by `running` and `handing`, asked by `asking`.

    `stop` is called when the next attempt would go beyond a limit and nothing on its way can still
    make room. Raises JobError where the limit cannot be kept over the run's whole life, and
    MachineFault for a damaged lease.
    """

    def __init__(
        self,
        flight: Preflight,
        tally: Tally,
        *,
        paid_before: Tally | None = None,  # for answers that are no part of the tally any more
        lease_file: Path | None,  # None: nothing is kept, and nothing was before
        stop: Callable[[BudgetReached], None],
        position: Callable[[], Position],
    ) -> None:
        self._stop = stop
        self._position = position
        self._worst = worst_case_of(flight)
        self._lease = None if lease_file is None else Lease(lease_file)
        self._tally, self._before = tally, paid_before or Tally()
        self.raise_to: str | None = None  # flag and value that would let the run finish
        self._ended_by: tuple[Account, int, BudgetReached] | None = None
        if self._lease is not None:
            history = Tally()
            history.merge(tally)
            history.merge(self._before)
            check_history(flight, history, self._lease)
            self._take_up(self._lease)
        accounts = [self._account(kind, unit, most) for kind, unit, most in limits_of(flight)]
        write = self._lease.cover if self._lease is not None else None
        self._budget = Budget(tuple(accounts), cover=write, reached=self._reached)
        self._losses = self._unlimited(flight)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all; where there is none, nobody needs to be asked."""
        return bool(self._budget.accounts)

    def _unlimited(self, flight: Preflight) -> list[Losses]:
        """The kinds that have no limit now, and may have one later."""
        lease = self._lease
        if lease is None:
            return []
        price = flight.facts.price
        currency = price.currency if price is not None else None
        limited = {account.kind for account in self._budget.accounts}
        money = WorstCase(flight.facts_of, flight.parameters, currency=currency or "")
        tokens = WorstCase(flight.facts_of, flight.parameters, currency=None)
        kinds = [
            Losses(lease, MONEY, currency or "", most=lambda one: money.of(one)[MONEY],
                   spent=self._pico),
            Losses(lease, TOKENS, "tokens", most=lambda one: tokens.of(one)[TOKENS],
                   spent=lambda _: self._tokens()),
        ]  # fmt: skip
        return [one for one in kinds if one.kind not in limited]

    def lost(self, request: Request) -> None:
        """An attempt may be billed, nobody said how much: a later limit must know of it.

        The limits that hold now learn it from its stake. Raises MachineFault.
        """
        for one in self._losses:
            one.add(request)

    def _tokens(self) -> int:
        return self._tally.total_tokens + self._before.total_tokens

    def _pico(self, unit: str) -> int:
        return self._tally.costs_pico.get(unit, 0) + self._before.costs_pico.get(unit, 0)

    def _take_up(self, lease: Lease) -> None:
        spent = {TOKENS: self._tokens()}
        entry = lease.found(MONEY)
        if entry is not None:
            spent[MONEY] = self._pico(entry.unit)
        lease.take_up(spent)

    def _account(self, kind: int, unit: str, most: int) -> Account:
        entry = self._lease.found(kind) if self._lease is not None else None
        lost = entry.lost if entry is not None else 0
        if kind == MONEY:
            spent = self._pico(unit)
            account = Account(0, unit, most, lambda: self._pico(unit), billed=spent, lost=lost)
        else:
            account = Account(1, unit, most, self._tokens, billed=self._tokens(), lost=lost)
        if self._lease is None:
            account.spent = lambda: account.billed  # handed over is all that can be done
        account.covered = lost
        return account

    @property
    def waiting(self) -> int:
        """Attempts that wait for others to be settled."""
        return self._budget.waiting

    async def admit(self, request: Request) -> Stake:
        """Set aside the most that an attempt can take, once that fits. Raises FailsRow."""
        return await self._budget.admit(self._worst.of(request))

    def open(self) -> None:
        """Stop holding anyone back: the run is stopping and they will not send."""
        self._budget.open()

    def landed(self) -> None:
        """Results have come to disk: what was at risk for them is not any more."""
        self._budget.serve()

    def close(self) -> None:
        """Give the lease back; nothing is on its way any more. Raises MachineFault."""
        if self._ended_by is not None:
            account, worst, reason = self._ended_by
            reason.args = (self._say(account, worst),)  # by now everything has landed
        if self._lease is not None and self.is_limited:
            self._lease.give_back(self._budget.accounts)
        for one in self._losses:
            one.close()

    def to_json(self) -> dict[str, Any] | None:
        """The budget's state for the summary; None without one. Money as the currency's units."""
        if not self.is_limited:
            return None
        found: dict[str, Any] = {"raise_to": self.raise_to}
        for account in self._budget.accounts:
            scale = (lambda amount: amount / PICO) if account.kind == MONEY else int
            found["cost" if account.kind == MONEY else "tokens"] = {
                "unit": account.unit,
                "most": scale(account.most),
                "spent": scale(account.billed),
                "lost": scale(account.lost),
                "left": scale(account.left),
            }
        return found

    def _reached(self, account: Account, worst: int) -> None:
        reason = BudgetReached(self._say(account, worst))
        self._ended_by = account, worst, reason
        self._stop(reason)

    def _say(self, account: Account, worst: int) -> str:
        position = self._position()
        unit, flag = account.unit, FLAGS[account.kind]
        lost = ""
        if account.lost:
            lost = (
                f"{shown(account.lost, unit)} lost (attempts that may have been billed, nobody "
                f"said how much), "
            )
        text = (
            f"{flag} {shown(account.most, unit)}: {shown(account.billed, unit)} spent, {lost}"
            f"{shown(account.left, unit)} left, and the next request may take {shown(worst, unit)}"
        )
        done = position.done + self._before.rows
        mean = account.billed / done if done else worst
        more = round(mean * position.pending) if position.pending is not None else account.most
        enough = round_up(account.billed + account.lost + more + worst)
        value = str(enough) if account.kind == TOKENS else f"{to_amount(enough):f}"
        self.raise_to = f"{flag} {_plain(value)}"
        if position.pending is None:
            text += f". How many rows are left is not known yet; {self.raise_to} goes on"
        else:
            rows = counted(position.pending, "row")
            text += (
                f". The {rows} left would take about {shown(more, unit)} more, at the mean so far: "
                f"{self.raise_to} would do"
            )
        return text


def _plain(value: str) -> str:
    return value.rstrip("0").rstrip(".") if "." in value else value


def round_up(amount: int) -> int:
    """The next amount with two digits: 1,234 becomes 1,300."""
    step = int("1" + "0" * max(0, len(str(amount)) - 2))
    return -(-amount // step) * step
