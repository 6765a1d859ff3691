"""What does one attempt put at stake, and what became of it: billed, not billed, or unknown?"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from runner.account import Amount


class _State(Enum):
    RESERVED = auto()
    SENT = auto()
    SETTLED = auto()


class Settles(Protocol):
    """Who is told what became of a stake: `budget.Budget`."""

    def settle(self, worst: Amount, *, billed: Amount = (0, 0), lost: bool = False) -> None:
        """Put what an attempt took in the place of its worst case."""
        ...


class Stake:
    """The worst case of one attempt, set aside. Made by `Budget.admit`, to be used with `with`.

    Whatever is left open at the end is charged in full, if it was sent at all.
    """

    __slots__ = ("_budget", "_state", "amount")

    def __init__(self, budget: Settles, amount: Amount) -> None:
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
