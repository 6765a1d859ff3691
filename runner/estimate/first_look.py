"""About what will it cost? From a thousand rows, without a vocabulary, in a fraction of a second.

For the moment before a run begins; `estimate` takes its time and knows better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.counted import counted
from runner.estimate.own_price import own_price
from runner.estimate.prompt_census import Census, Counting, by_bytes
from runner.estimate.row_sample import Sample, spread_cheaply
from runner.estimate.sum_up import sum_up
from runner.estimate.views import Assumptions, View, bounds_of

if TYPE_CHECKING:
    from runner.dataset import Batch
    from runner.estimate.estimated import Estimate
    from runner.preflight import Preflight

_ROWS = 1000
_MOST_BYTES = 4 << 20  # of a text file's beginning
# `guess_tokens` is mostly 5 to 25 % too high on prose, and a third too low on numbers and tables.
_ERROR_SHARE = 0.35
# Text shrinks to a third or a fifth; a compressed file's size tells its rows only so roughly.
_COMPRESSED_TO = 0.25


def first_look(
    flight: Preflight,
    *,
    done: int = 0,
    pilot: int | None = None,
    price_input: float | None = None,
    price_output: float | None = None,
) -> Estimate | None:
    """About what the rows without a result will take, if `done` have one; None: none are left.

    `pilot`: so many rows are in scope, and not all. Prices are of 1,000,000 tokens.

    Token counts are guessed from bytes, rows of a text file beyond its beginning from its size.
    Raises MachineFault for a file that cannot be read on.
    """
    spans, place = spread_cheaply(flight.dataset, flight.end, _ROWS)
    view = View(flight.facts.name, flight.facts, exact=False, error_share=_ERROR_SHARE,
                tokenizer="a guess by bytes")  # fmt: skip
    counting = Counting(flight.template.fill, by_bytes, bounds_of([view]))
    census, read_bytes = Census(), 0.0
    names = flight.dataset.schema.names
    for batch in flight.dataset.batches(columns=flight.template.columns, keep=names, spans=spans):
        census.merge(counting.count(batch.rows))
        read_bytes += _text_bytes(batch)
        if read_bytes > _MOST_BYTES:
            break
    rows, is_exact = flight.rows, True
    if rows is None:
        is_exact = census.rows == flight.end
        rows = _guess_rows(flight, census.rows, read_bytes)
    left = (rows if pilot is None else min(rows, pilot)) - done
    if left <= 0:
        return None
    named = {kind.model for kind, _ in census.cells}
    if named != {view.model}:  # a `body` column's requests name models of their own
        view = View(None, flight.facts, view.exact, view.error_share, view.tokenizer)
    assumptions = Assumptions(price=own_price(price_input, price_output, flight))
    return sum_up(
        flight, census, Sample(census.rows, left), [view], assumptions,
        place=f"{counted(census.rows, 'row')}: {place}", rows_exact=is_exact,
    )  # fmt: skip


def _text_bytes(batch: Batch) -> float:
    """About the bytes of a batch in its text file: values, and names or separators around them."""
    around = sum(len(name) + 6 for name in batch.inputs.schema.names) / 2
    return batch.inputs.nbytes + around * len(batch.rows)


def _guess_rows(flight: Preflight, counted: int, read_bytes: float) -> int:
    dataset = flight.dataset
    plain: float = sum(
        size / (_COMPRESSED_TO if path.endswith((".gz", ".zst", ".bz2")) else 1)
        for path, size in ((one["path"], one["size"]) for one in dataset.stamp())
    )
    rows = max(counted, round(plain / max(1.0, read_bytes / max(1, counted))))
    return rows if flight.end is None else min(rows, flight.end)
