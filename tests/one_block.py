"""One block of two rows, sealed in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from some_results import some_failure, some_result

from runner.output import result_schema, results_of
from runner.part_files import read_columns
from runner.sealing import seal_block
from runner.seals import Seals

if TYPE_CHECKING:
    from pathlib import Path

    from runner.job import Format
    from runner.records import Result
    from runner.seal_record import SealRecord

BLOCK, START = 7, 700
OLD = [some_failure(START), some_result(START + 1, key="")]
NEW = [some_result(START, completion="newer", unmetered_attempts=1), OLD[1]]


def seals_in(folder: Path, kind: Format = "parquet") -> Seals:
    for name in ("completions", "seals"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    return Seals(folder / "completions", folder / "seals", kind)


def seal(seals: Seals, results: list[Result]) -> SealRecord:
    return seal_block(seals, BLOCK, [], list(results), result_schema(""), "")


def sealed(seals: Seals) -> list[Result]:
    """What the one sealed block holds, its part verified; [] when there is none."""
    records = seals.records()
    if not records:
        return []
    (record,) = records.values()
    seals.verify(record)
    table = read_columns(seals.part(BLOCK), seals.kind, result_schema(""))
    return list(results_of(table, "", seals.keys(record), record.unmetered))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/*"))
