from __future__ import annotations

import csv
import hashlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import Batch, Dataset, open_dataset
from runner.errors import DatasetError, MachineFault

ROWS = [
    {"id": "1", "text": "你好,\n世界"},
    {"id": "007", "text": 'he said "hi" 🙂'},
    {"id": "3", "text": ""},
]


def write(folder: Path, kind: str) -> str:
    path = folder / f"prompts.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), str(path))
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "text"])
            writer.writeheader()
            writer.writerows(ROWS)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    return str(path)


def read(dataset: Dataset, **options: Any) -> list[Batch]:
    settings = {"columns": ["text"], "keep": ["id", "text"], "spans": [range(sys.maxsize)]}
    return list(dataset.batches(**{**settings, **options}))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_every_format_hands_on_the_same_rows(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    dataset = open_dataset([path])
    assert (dataset.kind, dataset.paths, dataset.total_rows) == (kind, (path,), 3)
    assert dataset.total_bytes == Path(path).stat().st_size
    assert dataset.schema == pa.schema([("id", pa.string()), ("text", pa.string())])
    (batch,) = read(dataset)
    assert [(row.index, row.cells, row.flaw) for row in batch.rows] == [
        (at, {"text": row["text"]}, None) for at, row in enumerate(ROWS)
    ]
    assert batch.inputs.to_pylist() == ROWS


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_dataset_can_be_read_again_and_in_another_thread(tmp_path: Path, kind: str) -> None:
    dataset = open_dataset([write(tmp_path, kind)])
    batches = dataset.batches(columns=["id"], keep=[], spans=[range(1, 3)])
    found: list[Batch] = []
    thread = threading.Thread(target=lambda: found.extend(batches))
    thread.start()
    thread.join()
    assert [row.cells["id"] for row in found[0].rows] == ["007", "3"]
    assert len(read(dataset)[0].rows) == 3


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_an_unknown_column_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    dataset = open_dataset([write(tmp_path, kind)])
    with pytest.raises(DatasetError, match="has no column 'txt'; it has: id, text"):
        dataset.batches(columns=["txt"], keep=[], spans=[])


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_reading_leaves_no_file_open_when_it_is_given_up(tmp_path: Path, kind: str) -> None:
    batches = open_dataset([write(tmp_path, kind)]).batches(
        columns=["id"], keep=[], spans=[range(1), range(2, 3)]
    )
    next(iter(batches))
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("only Linux lists a process's open files")
    del batches  # an open file would be a ResourceWarning, and a failure
    targets = [str(link.readlink()) for link in open_files.iterdir() if link.is_symlink()]
    assert not [target for target in targets if target.startswith(str(tmp_path))]


def test_a_file_that_changes_while_its_digest_is_made_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.csv"
    path.write_text("prompt\none\n")
    dataset = open_dataset([str(path)])

    def appended_to_meanwhile(sources: object) -> str:
        del sources
        path.write_text("prompt\none\ntwo\n")
        return "of both rows"

    monkeypatch.setattr("runner.dataset.dataset.digest", appended_to_meanwhile)
    with pytest.raises(MachineFault, match="has changed since this run began"):
        dataset.digest()


def test_the_stamp_and_the_digest_tell_one_state_of_the_files_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(write(tmp_path, "csv"))
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset([path.name])
    assert dataset.paths == ("prompts.csv",)
    assert dataset.stamp() == [
        {"path": str(path), "size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
    ]
    assert dataset.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes() + b"4,x\n")
    with pytest.raises(MachineFault, match="has changed"):
        dataset.digest()
    assert open_dataset([path.name]).digest() != hashlib.sha256(b"").hexdigest()


def test_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    write(tmp_path, "jsonl")
    with pytest.raises(DatasetError, match="one dataset holds files of one kind"):
        open_dataset([str(tmp_path)])
