"""What of a run's earlier work cannot be used any more, and what is to be done about it?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.counted import counted

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Damage:
    """A block whose part, keys or record cannot be used. Found by `seals`, told by `plan`."""

    block: int
    path: Path  # the file
    problem: str  # what is wrong with it, to be read behind its name
    rows: range | None = None  # the block's rows; None where only the lost record knew them

    def __str__(self) -> str:
        if self.rows is None:
            whose = f"the rows of block {self.block} were"
        else:
            rows = counted(len(self.rows), "row")
            were = "was" if len(self.rows) == 1 else "were"
            whose = f"its {rows} (from row {self.rows.start:,}) {were}"
        return f"{self.path} {self.problem}: {whose} answered and paid for"

    @staticmethod
    def ways_on(run: Path) -> str:
        """How the run in a folder goes on."""
        return (
            f"Restore the file from a copy; or have these rows asked, and paid for, again, what is "
            f"left of them set aside in superseded/: "
            f"penstock resume {shlex.quote(str(run))} --accept-changes"
        )

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `plan --json`."""
        return {
            "file": str(self.path),
            "block": self.block,
            "first_row": self.rows.start if self.rows is not None else None,
            "rows": len(self.rows) if self.rows is not None else None,
            "problem": self.problem,
        }
