"""`penstock generate --dry-run`: what would be sent, and what could not be."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from jobs.words import counted, double_ids_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner import DryRun, Job, Preflight

_SAY_EVERY_S = 5.0


def show_dry_run(
    job: Job,
    dataset: Sequence[str],
    *,
    providers_file: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Render every row in scope and tell what is wrong; 0 when all could be asked, else 1."""
    from runner import dry_run, prepare

    flight = prepare(job, dataset, providers_file=providers_file)
    if not (as_json or quiet):
        _print_opening(flight)
    found = dry_run(flight, on_rows=_counter(quiet=quiet))
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        _print_found(found)
    return 0 if found.ok == found.rows else 1


def _print_opening(flight: Preflight) -> None:
    dataset, endpoint = flight.dataset, flight.endpoint
    files = dataset.paths[0] if len(dataset.paths) == 1 else counted(len(dataset.paths), "file")
    for line in (
        f"dataset: {files} ({dataset.kind}); columns: {', '.join(dataset.schema.names)}",
        f"prompts: {flight.template.describe}",
        f"model: {flight.facts.name}{', streamed' if flight.stream else ''}",
        f"would ask: {endpoint.base_url}",
        *(f"warning: {warning}" for warning in flight.facts.warnings),
    ):
        print(line, file=sys.stderr)


def _counter(*, quiet: bool) -> Callable[[int], None]:
    said_at = time.monotonic()

    def on_rows(rows: int) -> None:
        nonlocal said_at
        now = time.monotonic()
        if not quiet and now - said_at > _SAY_EVERY_S:
            said_at = now
            print(f"{counted(rows, 'row')} read", file=sys.stderr, flush=True)

    return on_rows


def _print_found(found: DryRun) -> None:
    for number, request in enumerate(found.requests, 1):
        print(f"request {number}:")
        print(json.dumps(request, ensure_ascii=False, indent=2))
    for flaw in found.examples:
        print(f"row {flaw.row}: {flaw.error_type}: {flaw.message}")
    flawed = found.rows - found.ok
    if flawed > len(found.examples):
        more = counted(flawed - len(found.examples), "more row", "more rows")
        print(f"… and {more} that could not be asked")
    if found.double_ids is not None:
        print(double_ids_line(found.double_ids))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.flawed.items()))
    print(
        f"{counted(found.rows, 'row')}: {found.ok:,} could be asked, {flawed:,} could not"
        f"{f' ({kinds})' if kinds else ''}; nothing was sent"
    )
