from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from runner.errors import FailsRow
from runner.job import Job
from runner.records import Row
from runner.template import compile_template

EXAMPLES = Path(__file__).parent.parent / "examples"


def read_csv() -> list[dict[str, Any]]:
    with (EXAMPLES / "prompts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_parquet() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(EXAMPLES / "prompts.parquet").to_pylist()
    return rows


def test_the_parquet_example_holds_the_rows_of_the_csv_with_types() -> None:
    as_text = [
        {
            "id": str(row["id"]),
            "category": row["category"],
            "lang": row["lang"],
            "code": row["code"],
            "text": row["text"] or "",
            "tags": ";".join(row["tags"] or []),
            "price": str(row["price"]),
            "asked_at": row["asked_at"].isoformat(),
        }
        for row in read_parquet()
    ]
    assert as_text == read_csv()


@pytest.mark.parametrize("read", [read_csv, read_parquet])
def test_the_example_job_asks_every_row_but_the_empty_one(read: Any) -> None:
    job, rows = Job.load(EXAMPLES / "job.toml"), read()
    template = compile_template(job, list(rows[0]), default_model=None)
    keys, unsent = set(), []
    for at, cells in enumerate(rows):
        try:
            keys.add(template.fill(Row(at, cells)).key)
        except FailsRow as error:
            unsent.append((at, error.error_type))
    assert unsent == [(14, "empty_prompt")]
    assert len(keys) == len(rows) - 1 == 39
    assert job.limits.max_failed == "1"
    assert set(job.keep or ()) <= set(rows[0])
