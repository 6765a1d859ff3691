"""A run's answers beside its job and dataset as they are now: the facts behind a plan."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import FailsRow, JobError
from runner.kept import Kept
from runner.matching import Answered, Kind, Rows, match
from runner.row_ids import row_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from runner.damage import Damage
    from runner.folder import RunFile, RunFolder
    from runner.kept import Outline
    from runner.matching import Matching
    from runner.preflight import Preflight
    from runner.records import Row
    from runner.template import Template

_NO_KEY = bytes(16)


class Names:
    """A name for each of many rows, four bytes each."""

    def __init__(self) -> None:
        self._names: list[str | None] = []
        self._numbers: dict[str | None, int] = {}
        self._of = array("I")

    def add(self, name: str | None) -> None:
        """The next row's name."""
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        self._of.append(number)

    def count(self, rows: Iterable[int]) -> dict[str, int]:
        """How many of these rows have each name; those without one are left out."""
        counts = Counter(self._names[self._of[row]] for row in rows)
        return {name: counts[name] for name in sorted(filter(None, counts))}


@dataclass(slots=True)
class Found:
    """The answers of a run that can be used. Rows of which no request was made have none."""

    answered: Answered = field(default_factory=Answered)
    failed: bytearray = field(default_factory=bytearray)  # 1 for each answer that is a failure
    models: Names = field(default_factory=Names)  # that answered

    def add(self, row: int, one: Outline) -> None:
        """The next answer, in order of rows."""
        self.answered.places.append(row)
        self.answered.keys += one.key
        self.answered.ids += one.row_id  # where one lacks it, `have_ids` says so
        self.failed.append(one.failed)
        self.models.add(one.model)


@dataclass(slots=True)
class Wanted:
    """What would be asked now, of every row of the dataset."""

    rows: Rows = field(default_factory=Rows)
    as_before: Rows | None = None  # the keys under the run's own job; None: it is the same
    models: Names = field(default_factory=Names)  # that would be asked; none of unaskable rows


@dataclass(frozen=True, slots=True)
class Compared:
    """Answers and rows, matched. Made by `compare`, consumed by `plan` and `switch`."""

    found: Found
    wanted: Wanted
    matching: Matching

    def forget_keys(self) -> None:
        """Let go of what only the matching needed: 48 bytes a row of each side."""
        for packed in (self.found.answered.keys, self.found.answered.ids, self.wanted.rows.keys):
            packed.clear()
        if self.wanted.as_before is not None:
            self.wanted.as_before.keys.clear()

    def stays(self, row: int, *, keep_answered: bool) -> bool:
        """Whether a row of the new dataset has an answer that stands."""
        kind = self.matching.kinds[row]
        return kind == Kind.REUSED or (keep_answered and kind != Kind.NEW)


def compare(folder: RunFolder, run: RunFile, flight: Preflight, damaged: list[Damage]) -> Compared:
    """Read all of a run's answers, and all of the dataset, and match them.

    Of a damaged block only what is still in its journal is used. Raises MachineFault where the
    dataset cannot be read.
    """
    found = read_answers(Kept(folder, run), {flaw.block for flaw in damaged})
    wanted = _read_rows(run, flight)
    # Ids of another column say nothing.
    if run.job.id_column != flight.job.id_column:
        found.answered.ids.clear()
    return Compared(found, wanted, match(found.answered, wanted.rows, wanted.as_before))


def read_answers(kept: Kept, damaged: Collection[int | None]) -> Found:
    """What a run has answered, block by block; of damaged ones, what their journal holds."""
    found = Found()
    for block in kept.blocks():
        for row, one in kept.outlines(block, journal_alone=block in damaged).items():
            if one.key:
                found.add(row, one)
    return found


def _read_rows(run: RunFile, flight: Preflight) -> Wanted:
    template, column = flight.template, flight.job.id_column
    before = _template_before(run, flight)
    wanted = Wanted(as_before=Rows() if before is not None else None)
    columns = template.columns | (before.columns if before is not None else frozenset())
    if column is not None:
        columns |= {column}
    batches = flight.dataset.batches(columns=columns, keep=(), spans=[range(sys.maxsize)])
    for batch in batches:
        for row in batch.rows:
            key, model = _asked(template, row)
            wanted.rows.keys += key
            wanted.models.add(model)
            if column is not None:
                wanted.rows.ids += row_id(row, column)
            if before is not None and wanted.as_before is not None:
                wanted.as_before.keys += _asked(before, row)[0]
    return wanted


def _template_before(run: RunFile, flight: Preflight) -> Template | None:
    """The run's own template over the new dataset; None where nothing else is asked now."""
    before, now = run.job.identity(), flight.job.identity()
    if all(before[name] == now[name] for name in ("prompt", "system", "model", "params")):
        return None
    try:
        return flight.template_for(run.job)
    except JobError:  # its columns are not there any more
        return None


def _asked(template: Template, row: Row) -> tuple[bytes, str | None]:
    try:
        request = template.fill(row)
    except FailsRow:
        return _NO_KEY, None
    return bytes.fromhex(request.key), request.model
