"""What does a run hold of rows that are large, and of replies that are streamed?

Parquet's writers check a page's size every 1,024 rows, and a reader has to hold a page, up to three
times while it unpacks a dictionary. So the same rows are read from small pages too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from bench import QUESTION, WORKERS
from run import server, whole_way
from watching import Watched

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench

MANY_WORKERS = 1000
_LATENCY_S = 1.0
_GROUP_BYTES = 64 << 20


def large(bench: Bench, rows: int) -> None:
    """The peak of each kind; then whether large rows keep as many workers busy as were wanted."""
    del rows
    print("\n| rows | of bytes | pages of rows | workers | replies | seconds | peak MB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for count, size, page_rows, workers, stream in (
        (50_000, 600, 1024, WORKERS, True),
        (20_000, 25_000, 1024, WORKERS, False),
        (20_000, 25_000, 32, WORKERS, False),
        (20_000, 25_000, 32, MANY_WORKERS, False),
        (6_000, 100_000, 1024, WORKERS, False),
        (6_000, 100_000, 8, WORKERS, False),
        (6_000, 100_000, 8, MANY_WORKERS, False),
        (100, 5_000_000, 1, WORKERS, False),
    ):
        path = large_rows(bench.folder, count, size, page_rows)
        run = f"large-{size}-{page_rows}-{workers}-{stream}"
        command = whole_way(bench.base_url, path, workers, run, stream=stream)
        end = Watched(command, bench.folder).to_end()
        print(
            f"| {count:,} | {size:,} | {page_rows:,} | {workers:,} | "
            f"{'streamed' if stream else 'plain'} | {end.wall_s:.1f} | {end.peak_mb:.0f} |",
            flush=True,
        )
    count, size = 6_000, 100_000
    with server(_LATENCY_S) as base_url:
        path = large_rows(bench.folder, count, size, 8)
        command = whole_way(base_url, path, MANY_WORKERS, "large-late")
        end = Watched(command, bench.folder).to_end()
    print(
        f"\n{count:,} rows of {size:,} bytes, {MANY_WORKERS:,} workers, {_LATENCY_S:.0f} s a "
        f"reply: {end.wall_s:.1f} s (at best {count / MANY_WORKERS * _LATENCY_S:.0f} and the "
        f"start), peak {end.peak_mb:.0f} MB",
        flush=True,
    )


def large_rows(folder: Path, rows: int, size: int, page_rows: int) -> Path:
    """A file of such rows, in row groups of about 64 MB; made when first asked for."""
    path = folder / f"{rows}-{size}-{page_rows}.parquet"
    if path.exists():
        return path
    step = max(1, _GROUP_BYTES // size)
    schema = pa.table({"row_number": [0], "text": [""]}).schema
    with pq.ParquetWriter(path, schema, write_batch_size=page_rows) as writer:
        for start in range(0, rows, step):
            numbers = list(range(start, min(start + step, rows)))
            texts = [f"{one}: {QUESTION * (size // len(QUESTION) + 1)}"[:size] for one in numbers]
            writer.write_table(pa.table({"row_number": numbers, "text": texts}, schema))
    return path
