"""How large rows become is found wherever in the dataset the large ones stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import open_dataset
from runner.dataset.row_growth import growth

if TYPE_CHECKING:
    from pathlib import Path

SHORT, LONG = "x" * 20, "x" * 5000


@pytest.mark.parametrize(
    ("sizes", "times"),
    [
        ([], 1.0),
        ([10.0], 1.0),
        ([10.0, 5.0], 1.0),
        ([10.0, 50.0], 5.0),
        ([10.0] * 28 + [100.0, 200.0, 300.0], 20.0),
        ([0.0, 3.0], 3.0),
    ],
)
def test_the_dearest_tenth_decides_and_nothing_shrinks(sizes: list[float], times: float) -> None:
    assert growth(sizes) == times


@pytest.mark.parametrize("texts", [[SHORT] * 2000 + [LONG] * 2000, [LONG] * 2000])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "two files", "parquet"])
def test_long_rows_behind_short_ones_are_seen(tmp_path: Path, kind: str, texts: list[str]) -> None:
    if kind == "parquet":
        table = pa.table({"n": range(len(texts)), "text": texts})
        path = tmp_path / "d.parquet"
        pq.write_table(table, path, row_group_size=500, use_dictionary=False)
    else:
        lines = [f"{row},{text}\n" for row, text in enumerate(texts)]
        head = "n,text\n"
        if kind == "jsonl":
            lines = [f'{{"n":{row},"text":"{text}"}}\n' for row, text in enumerate(texts)]
            head = ""
        ending = "jsonl" if kind == "jsonl" else "csv"
        cut = len(lines) // 2 if kind == "two files" else len(lines)
        (tmp_path / f"a.{ending}").write_text(head + "".join(lines[:cut]))
        if cut < len(lines):
            (tmp_path / f"b.{ending}").write_text(head + "".join(lines[cut:]))
        path = tmp_path
    found = open_dataset([str(path)]).growth()
    if texts[0] == LONG:
        assert 1 <= found < 1.2
    else:
        assert 100 < found < 260
