"""`penstock export`: a run's rows as one file."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.options import json_option
from jobs.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner import Exported


@click.command()
@click.argument("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--only", type=click.Choice(["all", "succeeded", "failed"]), default="all", show_default=True,
    help="Which of the rows that have a result.",
)  # fmt: skip
@click.option("--with-pending", is_flag=True, help="Rows without a result too, their answer empty.")
@click.option("--excel", is_flag=True, help="A .csv that Excel opens well, and runs nothing of.")
@click.option("--yes", is_flag=True, help="Overwrite FILE, whatever it is.")
@json_option
def export(
    *, run: str, file: Path, only: Any, with_pending: bool, excel: bool, yes: bool, as_json: bool
) -> int:
    """Write RUN's rows into FILE: .parquet, .csv or .jsonl, in dataset order.

    RUN is a run folder or the file that -o named. It may still be going on: the file then holds
    what has been answered so far, and appears in one step. FILE may be there already if an earlier
    export of RUN wrote it.
    """
    from runner import export as export_rows
    from runner import run_folder_of

    folder, _ = run_folder_of(run)
    with _ended_by_signals():
        found = export_rows(
            folder, folder.read_run(), file,
            only=only, with_pending=with_pending, excel=excel, overwrite=yes,
        )  # fmt: skip
    if as_json:
        data = {
            "run": run,
            "file": str(file),
            "rows": found.rows,
            "succeeded": found.succeeded,
            "failed": found.failed,
            "pending": found.pending,
            **({"cut_cells": found.cut_cells} if excel else {}),
        }
        print(json.dumps(data, ensure_ascii=False))
    else:
        print(_told(found, file), file=sys.stderr)
    for line in _cut(found):
        print(line, file=sys.stderr)
    return 0


def _told(found: Exported, file: Path) -> str:
    pending = "?" if found.pending is None else f"{found.pending:,}"
    return (
        f"{file}: {counted(found.rows, 'row')} written. The run has {found.succeeded:,} succeeded, "
        f"{found.failed:,} failed, {pending} pending"
    )


def _cut(found: Exported) -> list[str]:
    """The cells that lost their end."""
    lines = [
        f"row {cell.row}, column {cell.column}: {counted(cell.chars, 'character')}, cut to the "
        f"32,767 that an Excel cell holds"
        for cell in found.cut
    ]
    more = found.cut_cells - len(lines)
    return [*lines, f"and {counted(more, 'more cell', 'more cells')} likewise"] if more else lines


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end it as Ctrl-C does, so that it can clean up."""

    def interrupt(number: int, frame: Any) -> None:
        del number, frame
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
