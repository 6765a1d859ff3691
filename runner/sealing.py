"""A block's inputs and results, all there, become its part, its keys and its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.output import slices
from runner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from runner.records import Result
    from runner.seal_record import SealRecord
    from runner.seals import Seals


def seal_block(
    seals: Seals,
    block: int,
    inputs: Iterable[pa.RecordBatch],
    results: Sequence[Result],
    schema: pa.Schema,
    prefix: str,
) -> SealRecord:
    """Seal a block; `results` are those of all its rows, in order. Raises MachineFault."""
    tally = Tally()
    for result in results:
        tally.add(result)
    return seals.seal(
        block,
        results[0].row,
        slices(inputs, results, schema, prefix),
        [result.key for result in results],
        tally,
        {one.row: one.unmetered_attempts for one in results if one.unmetered_attempts},
        [result.row_id for result in results],
    )
