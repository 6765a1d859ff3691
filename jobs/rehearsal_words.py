"""How a rehearsed run reads to a person: what came of it, its course, and what it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.words import counted, duration, money

if TYPE_CHECKING:
    from runner import Estimate, Rehearsal


def rehearsal_lines(found: Rehearsal, estimated: Estimate) -> list[str]:
    """The rehearsal next to the arithmetic."""
    model = estimated.models[0]
    rest = " for the rest" if found.done else ""
    until = rest if found.stopped is None else " until it stopped"
    by = "" if found.measured is None else f", as measured in {found.measured}"
    ends = dict.fromkeys(map(duration, (model.time.seconds.low, model.time.seconds.high)))
    if not found.of_rows:
        return [f"rehearsal of {found.model}: no row is left to be asked"]
    lines = [
        f"rehearsal of {found.model}, on a simulated clock against the provider's limits",
        f"  time      {duration(found.seconds)}{until}; by arithmetic {' to '.join(ends)}",
        f"  attempts  {found.attempts:,} for {counted(found.rows, 'row')}, {found.throttled:,} "
        f"throttled"
        + (f"; {counted(found.failed, 'row')} without an answer" if found.failed else ""),
        (
            f"  cost      {money(found.cost, found.currency).removeprefix('cost ')}{rest}"
            f", with answers of {found.answer_tokens:,.0f} tokens on average{by}"
        ),
    ]
    if found.stopped is not None:
        lines.append(f"  stopped   {' '.join(found.stopped.split())}")
    elif found.rows < found.of_rows:
        lines.append(
            f"  scaled    the first {found.rows:,} rows were rehearsed "
            f"({duration(found.rehearsed_s)}); the other {found.of_rows - found.rows:,} are taken "
            "to go on at their pace and price"
        )
    lines.append(
        f"  clock     {found.speedup:,.0f} times real time; what the provider fails beyond its "
        "limits is not in it"
    )
    return [*lines, *_course(found)]


def _course(found: Rehearsal) -> list[str]:
    rows = [("rows", "after", "rows/s", "throttled", "tokens/min", "limited by")]
    done = 0
    for stretch in found.stretches:
        done += stretch.rows
        rows.append(
            (
                f"{done:,}",
                duration(stretch.ends_s),
                f"{stretch.rows_per_s:,.2f}",
                f"{stretch.throttled_share:.0%}",
                f"{stretch.tokens_per_minute:,.0f}",
                stretch.limited_by,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
