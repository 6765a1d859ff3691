"""May one more attempt start? The sums of a budget of money or tokens, and the line before it.

Hard over the run's whole life: an attempt starts only if everything billed, everything that may
have been billed, and the most that it and all others on their way can take, fit together. What is
at risk is leased on disk before it is risked (`runner.lease`), so a killed process cannot overspend
either. Amounts are whole: 1e-12 of a currency, or tokens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Amount = tuple[int, int]  # of one attempt or many: (1e-12 of the currency, tokens)

# What is on its way when a process is killed counts as spent for ever. So no more than this part of
# the budget is ever on its way, however many workers there are: nine tenths stay usable.
MOST_AT_RISK = 20
# The lease grows by this part of the budget: few writes to disk, and a small loss at a kill.
LEASE_STEP = 100


@dataclass(slots=True)
class Account:
    """One limit and what counts towards it. `spent` reads what results on disk add up to."""

    kind: Literal[0, 1]  # which part of an Amount it counts: money, tokens
    unit: str  # a currency's name, or "tokens"
    most: int
    spent: Callable[[], int]
    billed: int  # with known usage, on disk or not yet
    lost: int = 0  # may have been billed, nobody said how much: charged in full
    in_flight: int = 0  # the most that the attempts on their way can take
    covered: int = 0  # of what is lost and at risk, how much is on disk in the lease

    @property
    def unsaved(self) -> int:
        """Billed for rows that have no result on disk yet."""
        return max(0, self.billed - self.spent())

    @property
    def to_cover(self) -> int:
        """What a new process could not find out if this one were killed now."""
        return self.lost + self.in_flight + self.unsaved

    @property
    def left(self) -> int:
        """What attempts may still take."""
        return max(0, self.most - self.billed - self.lost - self.in_flight)

    def fits(self, worst: int) -> bool:
        """Whether an attempt that takes at most so much stays within the limit."""
        return self.billed + self.lost + self.in_flight + worst <= self.most

    def is_prudent(self, worst: int) -> bool:
        """Whether no more is at risk with it than may be; one attempt alone always may."""
        at_risk = self.in_flight + self.unsaved + worst
        return not self.in_flight or at_risk <= self.most // MOST_AT_RISK

    def next_cover(self) -> int:
        """What the lease is to cover when it is written next."""
        return self.to_cover + self.most // LEASE_STEP


class _State(Enum):
    RESERVED = auto()
    SENT = auto()
    SETTLED = auto()


class Stake:
    """The worst case of one attempt, set aside. Made by `Budget.admit`, to be used with `with`.

    Whatever is left open at the end is charged in full, if it was sent at all.
    """

    __slots__ = ("_budget", "_state", "amount")

    def __init__(self, budget: Budget, amount: Amount) -> None:
        self._budget = budget
        self._state = _State.RESERVED
        self.amount = amount

    def sent(self) -> None:
        """From here on it may be billed."""
        self._state = _State.SENT

    def billed(self, amount: Amount) -> None:
        """It came back, and this is what it took."""
        if self._state is not _State.SETTLED:
            self._state = _State.SETTLED
            self._budget.settle(self.amount, billed=amount)

    def not_billed(self) -> None:
        """It was refused, or never reached the provider."""
        if self._state is not _State.SETTLED:
            self._state = _State.SETTLED
            self._budget.settle(self.amount)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._state is _State.SENT:
            self._state = _State.SETTLED
            self._budget.settle(self.amount, lost=True)
        else:
            self.not_billed()


class _Free(Stake):
    """What an attempt has at stake where there is no budget."""

    __slots__ = ()

    def __init__(self) -> None:
        self.amount = (0, 0)

    def sent(self) -> None:
        pass

    def billed(self, amount: Amount) -> None:
        pass

    def not_billed(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


FREE: Stake = _Free()


class Budget:
    """The accounts of one run, and the attempts that wait for them, first come, first served.

    `cover` writes the accounts' `next_cover` to disk and returns when it is there; it raises
    MachineFault. `reached` is called once, when the next attempt (its account and worst case) does
    not fit and nothing is on its way that could still leave room.
    """

    def __init__(
        self,
        accounts: tuple[Account, ...],
        *,
        cover: Callable[[tuple[Account, ...]], None] | None,  # None: nothing outlives the process
        reached: Callable[[Account, int], None],
    ) -> None:
        self.accounts = accounts
        self._cover = cover
        self._reached = reached
        self._out = 0  # stakes not yet settled
        self._waiting: deque[tuple[Amount, asyncio.Future[Stake]]] = deque()
        self._opened = False

    @property
    def waiting(self) -> int:
        """Attempts that wait for others to be settled."""
        return len(self._waiting)

    async def admit(self, worst: Amount) -> Stake:
        """Set aside the most that an attempt can take, once that fits. Raises MachineFault.

        After `open` the stake is worth nothing: the caller sends nothing any more.
        """
        if not self._opened and not self._waiting and self._has_room(worst):
            return self._take(worst)
        if self._opened or self._ends_here(worst):
            return Stake(self, self._nothing())
        place: asyncio.Future[Stake] = asyncio.get_running_loop().create_future()
        self._waiting.append((worst, place))
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                place.result().not_billed()
            raise

    def _nothing(self) -> Amount:
        self._out += 1  # settled like any other
        return 0, 0

    def _has_room(self, worst: Amount) -> bool:
        for account in self.accounts:
            amount = worst[account.kind]
            if not (account.fits(amount) and account.is_prudent(amount)):
                return False
        return True

    def _ends_here(self, worst: Amount) -> bool:
        """With nothing on its way, whether the next attempt is one too many; then all is over."""
        if self._out:
            return False
        for account in self.accounts:
            if not account.fits(worst[account.kind]):
                self._reached(account, worst[account.kind])
                self.open()
                return True
        return False

    def _take(self, worst: Amount) -> Stake:
        is_covered = True
        for account in self.accounts:
            account.in_flight += worst[account.kind]
            is_covered = is_covered and account.to_cover <= account.covered
        self._out += 1
        if not is_covered and self._cover is not None:
            try:
                self._cover(self.accounts)
            except BaseException:
                self._give_back(worst)
                raise
        return Stake(self, worst)

    def _give_back(self, worst: Amount) -> None:
        self._out -= 1
        for account in self.accounts:
            account.in_flight -= worst[account.kind]

    def settle(self, worst: Amount, *, billed: Amount = (0, 0), lost: bool = False) -> None:
        """Put what an attempt took in the place of its worst case."""
        self._give_back(worst)
        for account in self.accounts:
            account.billed += billed[account.kind]
            if lost:
                account.lost += worst[account.kind]
        self.serve()

    def serve(self) -> None:
        """Let waiting attempts in as far as there is room; call it when results are on disk."""
        waiting = self._waiting
        while waiting:
            worst, place = waiting[0]
            if place.done():
                waiting.popleft()
            elif self._has_room(worst):
                waiting.popleft()
                try:
                    place.set_result(self._take(worst))
                except Exception as fault:  # noqa: BLE001 - it is raised where the attempt waits
                    place.set_exception(fault)
            elif self._ends_here(worst):
                return
            else:
                return

    def open(self) -> None:
        """Let everyone through at once: the run is stopping and they will not send."""
        self._opened = True
        while self._waiting:
            _, place = self._waiting.popleft()
            if not place.done():
                place.set_result(Stake(self, self._nothing()))
