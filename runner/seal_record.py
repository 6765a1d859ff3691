"""What is known of a sealed block without opening its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.checksum import checked, with_checksum
from runner.errors import MachineFault
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SealRecord:
    """The contents of a block's record file. Made by `seals`, read at every start."""

    block: int
    start: int  # position of its first row
    rows: int
    part: str  # the part's file name
    part_bytes: int
    part_sha256: str
    tally: Tally
    unmetered: dict[int, int]  # by row, attempts without known usage, which have no output column
    keys_sha256: str | None = None  # of the file of keys; None in records of layout 1
    has_ids: bool = False  # the rows' ids lie behind their keys

    def encode(self) -> bytes:
        """The record as the text of its file."""
        data = {name: getattr(self, name) for name in self.__slots__ if name != "tally"}
        return with_checksum({**data, "tally": self.tally.to_json()})

    @classmethod
    def read(cls, path: Path) -> SealRecord:
        """The record in a file. Raises MachineFault when it is damaged, FileNotFoundError."""
        try:
            data = checked(path.read_bytes())
            tally = Tally.from_json(data["tally"])
            unmetered = {int(row): count for row, count in data["unmetered"].items()}
            return cls(**{**data, "tally": tally, "unmetered": unmetered})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MachineFault(f"{path} is damaged ({error})") from None
