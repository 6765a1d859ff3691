"""Which earlier answer belongs to which row of a changed dataset? By id, by key, or by place.

Rows are told apart by 16 bytes over what is asked (their key) and, with an id column, by 16 bytes
over their id. A row with the same key keeps its answer, wherever it has moved to; duplicates are
separate rows, and the n-th keeps the n-th answer. Of the others, a row with the same id (without an
id column: at the same place) is the old one, changed.

A million rows on either side take about 70 bytes each, 100 with ids, and some ten seconds. Numbers
of rows and answers have four bytes: where those did not do, the keys alone would take 32 GB.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    # What tells the row with this number from others; b"" where nothing does.
    Token = Callable[[int], bytes]

_BYTES = 16
_NONE = bytes(_BYTES)


class Kind(IntEnum):
    """What has become of a row."""

    NEW = 0  # it has no answer
    REUSED = 1  # it has one, to the very request that would be sent
    OTHER_JOB = 2  # it has one: the job asks otherwise now
    OTHER_INPUT = 3  # it has one: its input has changed, or is somewhere else


class Rows:
    """Keys and ids of rows, in order. Filled by `plan`."""

    def __init__(self) -> None:
        self.keys = bytearray()  # 16 bytes a row; zeros for one of which no request can be made
        self.ids = bytearray()  # likewise; empty without an id column

    def __len__(self) -> int:
        return len(self.keys) // _BYTES

    @property
    def have_ids(self) -> bool:
        """Whether each row has an id."""
        return bool(self.keys) and len(self.ids) == len(self.keys)

    def key(self, at: int) -> bytes:
        """A row's key; b"" without one."""
        return _piece(self.keys, at)

    def id(self, at: int) -> bytes:
        """A row's id; b"" without one."""
        return _piece(self.ids, at)

    def both(self, at: int) -> bytes:
        """Id and key together; b"" where one is lacking."""
        key, identity = self.key(at), self.id(at)
        return key + identity if key and identity else b""


class Answered(Rows):
    """Rows with an answer, which need not be all of their dataset."""

    def __init__(self) -> None:
        super().__init__()
        self.places = array("i")  # their positions, ascending


@dataclass(frozen=True, slots=True)
class Matching:
    """Whose answer each row of the new dataset keeps. Made by `match`, consumed by `plan`."""

    source: array[int]  # for each row, the number of the answer that is its own; -1: none
    kinds: bytearray  # for each row, its Kind
    gone: int  # answers whose rows are not there any more

    def count(self, kind: Kind) -> int:
        """How many rows are of a kind."""
        return self.kinds.count(kind)


def match(old: Answered, new: Rows, as_before: Rows | None = None) -> Matching:
    """Give each row of `new` the answer that is its own.

    `as_before`: the same rows' keys under the job that asked for `old`; None: that is the job.
    Ids count where both sides have them.
    """
    before = as_before or new
    pairs = _Pairs(old, len(new))
    if old.have_ids and new.have_ids:
        pairs.join(old.both, new.both, Kind.REUSED)

        def changed(at: int, row: int) -> Kind:
            if old.key(at) == new.key(row):
                return Kind.REUSED
            return Kind.OTHER_JOB if old.key(at) == before.key(row) else Kind.OTHER_INPUT

        pairs.join(old.id, new.id, changed)
    else:
        pairs.join(old.key, new.key, Kind.REUSED)
        if as_before is not None:
            pairs.join(old.key, as_before.key, Kind.OTHER_JOB)
        pairs.join_places(Kind.OTHER_INPUT)
    gone = len(old) - sum(pairs.taken)
    return Matching(pairs.source, pairs.kinds, gone)


class _Pairs:
    def __init__(self, old: Answered, rows: int) -> None:
        self._old = old
        self._rows = rows
        self.source = array("i", [-1]) * rows
        self.kinds = bytearray(rows)
        self.taken = bytearray(len(old))

    def join(self, old: Token, new: Token, kind: Kind | Callable[[int, int], Kind]) -> None:
        """Pair what is equal and not yet paired: at the same place first, then in order."""
        for at, row in enumerate(self._old.places):
            if row < self._rows and not self.taken[at] and self.source[row] < 0:
                token = old(at)
                if token and token == new(row):
                    self._pair(at, row, kind)
        chains = _Chains(old, self.taken)
        for row in range(self._rows):
            if self.source[row] < 0 and (found := chains.next(new(row))) is not None:
                self._pair(found, row, kind)

    def join_places(self, kind: Kind) -> None:
        """Pair what is left with whatever stands at the same place now."""
        for at, row in enumerate(self._old.places):
            if row < self._rows and not self.taken[at] and self.source[row] < 0:
                self._pair(at, row, kind)

    def _pair(self, at: int, row: int, kind: Kind | Callable[[int, int], Kind]) -> None:
        self.source[row] = at
        self.kinds[row] = kind if isinstance(kind, Kind) else kind(at, row)
        self.taken[at] = 1


class _Chains:
    """Answers by token, those with the same one in order: a hash table without an object a row."""

    def __init__(self, token: Token, taken: bytearray) -> None:
        self._token = token
        self._mask = (1 << (2 * taken.count(0) + 1).bit_length()) - 1  # at most half full
        self._first = array("i", [-1]) * (self._mask + 1)
        self._later = array("i", [-1]) * len(taken)
        self._used = bytearray(len(taken))
        for at in reversed(range(len(taken))):  # so that each chain begins with its first
            wanted = b"" if taken[at] else token(at)
            if wanted:
                slot = self._slot(wanted)
                self._later[at] = self._first[slot]
                self._first[slot] = at

    def _slot(self, token: bytes) -> int:
        slot = int.from_bytes(token[:8], "little") & self._mask
        while (at := self._first[slot]) >= 0 and self._token(at) != token:
            slot = (slot + 1) & self._mask
        return slot

    def next(self, token: bytes) -> int | None:
        """The next answer with this token; each is handed out once."""
        slot = self._slot(token)
        at = self._first[slot]
        if not token or at < 0 or self._used[at]:
            return None
        self._used[at] = 1
        if self._later[at] >= 0:
            self._first[slot] = self._later[at]  # the last one stays, to keep its slot
        return at


def _piece(packed: bytearray, at: int) -> bytes:
    piece = bytes(packed[at * _BYTES : (at + 1) * _BYTES])
    return piece if piece != _NONE else b""
