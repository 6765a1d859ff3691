"""How do rows become requests where some of them are asked again with other settings?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from runner.asked_again import Retry
    from runner.preflight import Preflight
    from runner.records import Request, Row


def filling(
    flight: Preflight, retry: Retry | None, replaced: Container[int]
) -> tuple[Callable[[Row], Request], frozenset[str]]:
    """What makes a row's request, and the columns that it reads, the id's included.

    `replaced` holds the rows that are asked again; those are asked as `retry` says.
    """
    usual, id_column = flight.template, flight.job.id_column
    columns = usual.columns | ({id_column} if id_column is not None else frozenset())
    if retry is None or retry.job is None:
        return usual.fill, columns
    again = flight.template_for(retry.job)

    def fill(row: Row) -> Request:
        template = again if row.index in replaced else usual
        return template.fill(row)

    return fill, columns | again.columns
