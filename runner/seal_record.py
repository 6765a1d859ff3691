"""What is known of a sealed block without opening its part."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import MachineFault
from runner.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

# A flipped digit is still JSON, and the counts in a record are money.
_CRC = b',\n  "crc": "%08x"\n}'


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
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        text = orjson.dumps({**data, "tally": self.tally.to_json()}, option=options)
        return text[:-2] + _CRC % zlib.crc32(text)

    @classmethod
    def read(cls, path: Path) -> SealRecord:
        """The record in a file. Raises MachineFault when it is damaged, FileNotFoundError."""
        try:
            data = _checked(path.read_bytes())
            tally = Tally.from_json(data["tally"])
            unmetered = {int(row): count for row, count in data["unmetered"].items()}
            return cls(**{**data, "tally": tally, "unmetered": unmetered})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MachineFault(f"{path} is damaged ({error})") from None


def _checked(text: bytes) -> dict[str, Any]:
    """The record in a text. Those of the first versions have no checksum."""
    data: dict[str, Any] = orjson.loads(text)
    if data.pop("crc", None) is not None:
        size = len(_CRC % 0)
        if text[-size:] != _CRC % zlib.crc32(text[:-size] + b"\n}"):
            raise ValueError("its checksum is not that of its contents")
    return data
