"""May one more attempt start? The line before a budget of money or tokens.

Hard over the run's whole life: an attempt starts only if everything billed, everything that may
have been billed, and the most that it and all others on their way can take, fit together. What is
at risk is leased on disk before it is risked (`runner.lease`), so a killed process cannot overspend
either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from runner.stake import Stake

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.account import Account, Amount


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
