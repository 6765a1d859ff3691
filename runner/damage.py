"""What of a run's earlier work cannot be used any more, and what is to be done about it?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.counted import counted

if TYPE_CHECKING:
    from pathlib import Path

_RESTORE = "restore the file from a copy"


@dataclass(frozen=True, slots=True)
class Damage:
    """Results that were paid for and cannot be used. Found by `soundness`, told by the commands."""

    block: int | None  # None: results are missing, nobody knows of which block
    path: Path  # the file, or the folder that lacks one
    problem: str  # what is wrong with it, to be read behind its name
    rows: range | None = None  # the block's rows; None where only the lost record knew them
    count: int | None = None  # how many results, where it is not the whole block's
    remedy: str = _RESTORE  # how nothing has to be paid for again

    def __str__(self) -> str:
        return f"{self.path} {self.problem}: {self._whose()} answered and paid for"

    def _whose(self) -> str:
        if self.rows is not None:
            start = f"(from row {self.rows.start:,})"
            rows = counted(len(self.rows), f"row {start} was", f"rows {start} were")
            return f"its {rows}"
        if self.count is not None:
            return counted(self.count, "row was", "rows were")
        return f"the rows of block {self.block} were"

    def ways_on(self, run: Path) -> str:
        """How the run in a folder goes on."""
        return (
            f"Either {self.remedy} and repeat the command; or have these rows asked, and paid for, "
            f"again (what is left of them stays in superseded/): "
            f"penstock resume {shlex.quote(str(run))} --accept-changes"
        )

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `plan --json`."""
        return {
            "file": str(self.path),
            "block": self.block,
            "first_row": self.rows.start if self.rows is not None else None,
            "rows": len(self.rows) if self.rows is not None else self.count,
            "problem": self.problem,
        }
