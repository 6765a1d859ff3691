"""What would a run send, and which rows could not be asked? Renders all, sends nothing."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import FailsRow
from runner.row_ids import SeenIds
from runner.shown import as_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.preflight import Preflight
    from runner.records import Row
    from runner.row_ids import DoubleIds

MOST_EXAMPLES = 20  # flawed rows that are told one by one; the others are counted
_REQUESTS = 2


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that could not be asked. Made by `dry_run`, shown by the command."""

    row: int  # position in the dataset, from 0
    error_type: str  # as the output column of that name would say
    message: str  # the file's line stands in it where it is known


@dataclass(slots=True)
class DryRun:
    """What `dry_run` found."""

    rows: int = 0  # read
    flawed: dict[str, int] = field(default_factory=dict)  # rows that could not be asked, by kind
    examples: list[Flaw] = field(default_factory=list)  # the first of them
    requests: list[dict[str, Any]] = field(default_factory=list)  # the first bodies, as sent
    double_ids: DoubleIds | None = None  # where an id column is named; None: all are different

    @property
    def ok(self) -> int:
        """Rows that could be asked."""
        return self.rows - sum(self.flawed.values())

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `--dry-run --json`."""
        return {
            "rows": self.rows,
            "ok": self.ok,
            "flawed": self.flawed,
            "examples": [
                {"row": one.row, "error_type": one.error_type, "message": one.message}
                for one in self.examples
            ],
            "requests": self.requests,
            "double_ids": self.double_ids and self.double_ids.to_json(),
        }

    def _add(self, row: Row, flight: Preflight) -> None:
        self.rows += 1
        try:
            request = flight.template.fill(row)
        except FailsRow as flaw:
            self.flawed[flaw.error_type] = self.flawed.get(flaw.error_type, 0) + 1
            if len(self.examples) < MOST_EXAMPLES:
                self.examples.append(Flaw(row.index, flaw.error_type, flaw.message))
        else:
            if len(self.requests) < _REQUESTS:
                self.requests.append(as_sent(request.body, stream=flight.stream))


def dry_run(flight: Preflight, *, on_rows: Callable[[int], None] = lambda _: None) -> DryRun:
    """Read and render every row in scope; needs no key and writes nothing.

    `on_rows` is told now and then how many rows have been read. Raises MachineFault where a file
    cannot be read on.
    """
    found, columns = DryRun(), flight.template.columns
    seen = None
    if (column := flight.job.id_column) is not None:
        seen, columns = SeenIds(column), columns | {column}
    spans = [range(sys.maxsize if flight.end is None else flight.end)]
    # The kept columns too: their flaws would fail a row as well.
    for batch in flight.dataset.batches(columns=columns, keep=flight.inputs.names, spans=spans):
        if seen is not None:
            seen.add(batch)
        for row in batch.rows:
            found._add(row, flight)
        on_rows(found.rows)
    found.double_ids = None if seen is None else seen.doubles()
    return found
