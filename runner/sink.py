"""Where do results go? What the two places have in common: a run folder, and an iterator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runner.dataset import Batch
    from runner.records import Result, Row, Unfinished


class Sink(Protocol):
    """Where results go: `keeping.Keeping` for a run folder, `handing.Handing` for an iterator."""

    def spans(self, end: int | None) -> list[range]:
        """The rows to read."""
        ...

    async def wait_for_room(self, workers: int) -> None:
        """Return when another batch may be taken, where so many workers want rows."""
        ...

    def take(self, batch: Batch, end: int | None) -> list[Row]:
        """The rows of a batch that are to be asked."""
        ...

    def before(self, row: int) -> Result | Unfinished | None:
        """What a row was billed before, with a result that is asked again or without one."""
        ...

    def end(self, rows: int) -> int:
        """The dataset or the scope ends at `rows`, or where earlier runs have been; that place."""
        ...

    async def keep(self, result: Result) -> None:
        """Take over a result."""
        ...

    async def keep_bill(self, bill: Unfinished) -> None:
        """Take over what a row has cost that has no result yet."""
        ...

    async def work(self) -> None:
        """Whatever keeping needs, until `close`."""
        ...

    def close(self) -> None:
        """No more results will come."""
        ...
