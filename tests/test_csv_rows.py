from __future__ import annotations

import gzip
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from runner.dataset import open_dataset
from runner.dataset.batches import MAX_BYTES
from runner.errors import MachineFault

if TYPE_CHECKING:
    from runner.dataset import Batch, Dataset

ALL = [range(sys.maxsize)]
LONG = "n,text\n" + "".join(f"{n},{'x' * 100}\n" for n in range(12_000))  # above a megabyte


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(dataset: Dataset, spans: Any = ALL) -> list[Batch]:
    names = dataset.schema.names
    return list(dataset.batches(columns=names, keep=names, spans=spans))


def cells(batches: list[Batch], name: str) -> list[Any]:
    return [row.cells[name] for batch in batches for row in batch.rows]


def test_every_column_is_text_and_empty_is_not_null(tmp_path: Path) -> None:
    dataset = open_dataset([write(tmp_path / "x.csv", "\ufeffid,text\n007,你好\n,\n")])
    assert dataset.schema == pa.schema([("id", pa.string()), ("text", pa.string())])
    (batch,) = read(dataset)
    assert [row.cells for row in batch.rows] == [
        {"id": "007", "text": "你好"},
        {"id": "", "text": ""},
    ]
    assert batch.inputs.to_pylist() == [dict(row.cells) for row in batch.rows]


def test_only_the_columns_asked_for_are_handed_on(tmp_path: Path) -> None:
    dataset = open_dataset([write(tmp_path / "x.csv", "a,b,c\n1,2,3\n")])
    (batch,) = dataset.batches(columns=["c"], keep=["b", "a"], spans=ALL)
    assert batch.rows[0].cells == {"c": "3"}
    assert batch.inputs.to_pylist() == [{"b": "2", "a": "1"}]
    (batch,) = dataset.batches(columns=[], keep=[], spans=ALL)
    assert (batch.rows[0].cells, batch.inputs.num_rows) == ({}, 1)


def test_spans_are_met_exactly_over_several_files(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        rows = "".join(f"{name}-{n}\n" for n in range(2000))
        write(tmp_path / f"{name}.csv", "n\n" + rows)
    spans = [range(5, 7), range(8, 9), range(1990, 4100), range(5998, sys.maxsize)]
    batches = read(open_dataset([str(tmp_path)]), spans)
    everything = [f"{at // 2000 + 1}-{at % 2000}" for at in range(6000)]
    wanted = [at for at in range(6000) if any(at in span for span in spans)]
    assert [row.index for batch in batches for row in batch.rows] == wanted
    assert cells(batches, "n") == [everything[at] for at in wanted]
    for batch in batches:
        assert batch.rows[-1].index - batch.start == len(batch.rows) - 1
        assert len(batch.rows) <= 1024


def test_flawed_rows_count_like_others_when_they_are_skipped(tmp_path: Path) -> None:
    tail = b'ragged\n12001,ok\n12002,\xff\n12003,"open\n12004,fine\n'
    path = write(tmp_path / "x.csv", LONG.encode() + tail)
    for start in range(12_000, 12_005):
        batches = read(open_dataset([path]), [range(start, sys.maxsize)])
        expected = ["", "12001", "", "", "12004"][start - 12_000 :]
        assert cells(batches, "n") == expected


def test_later_flaws_tell_why_and_leave_null_inputs(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", LONG.encode() + b"ragged\n1,ok\n2,caf\xe9\n")
    (batch,) = read(open_dataset([path]), [range(12_000, sys.maxsize)])
    ragged, sound, undecodable = batch.rows
    assert ragged.flaw == (
        f"line 12002 of {path}: expected 2 fields as in the header, found 1: ragged"
    )
    assert undecodable.flaw == (
        f"line 12004 of {path} is not utf-8 (byte 0xe9 at character 6): 2,caf\\xe9"
    )
    assert sound.flaw is None
    assert ragged.cells == undecodable.cells == {"n": "", "text": ""}
    assert batch.inputs.to_pylist() == [
        {"n": None, "text": None},
        {"n": "1", "text": "ok"},
        {"n": None, "text": None},
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "gb18030", "iso2022_jp", "cp1252"])
def test_bytes_that_an_encoding_does_not_know_flaw_their_row(tmp_path: Path, encoding: str) -> None:
    bad = {
        "utf-16": b"\x00\xd8",
        "utf-16-le": b"\x00\xdc",
        "gb18030": b"\xff",
        "iso2022_jp": b"\x1b$Q",
        "cp1252": b"\x81",
    }[encoding]
    row, end = "1,bad", "\n2,fine\n"
    plain = "utf-16-le" if encoding == "utf-16" else encoding
    content = LONG.encode(encoding) + row.encode(plain) + bad + end.encode(plain)
    path = write(tmp_path / "x.csv", content)
    batches = read(open_dataset([path], csv_encoding=encoding), [range(12_000, sys.maxsize)])
    assert cells(batches, "n") == ["", "2"]
    assert f"is not {encoding.replace('_', '-') if 'utf' in encoding else encoding}" in str(
        batches[0].rows[0].flaw
    )


def test_the_number_of_rows_is_known_once_they_were_read(tmp_path: Path) -> None:
    small = open_dataset([write(tmp_path / "s.csv", "n\n1\n2\n")])
    assert small.total_rows == 2
    large = open_dataset([write(tmp_path / "l.csv", LONG)])
    assert large.total_rows is None
    read(large, [range(3)])
    assert large.total_rows is None
    read(large)
    assert large.total_rows == 12_000


def test_batches_stay_near_a_megabyte_and_a_huge_row_stands_alone(tmp_path: Path) -> None:
    texts = ["x" * 3000] * 1000 + ["y" * 5_000_000] + ["z"] * 2000
    dataset = open_dataset([write(tmp_path / "x.csv", "t\n" + "\n".join(texts))])
    batches = read(dataset)
    assert cells(batches, "t") == texts
    assert [len(batch.rows) for batch in batches if batch.inputs.nbytes > 1.1 * MAX_BYTES] == [1]


def test_folders_give_their_value_to_each_row(tmp_path: Path) -> None:
    write(tmp_path / "lang=en" / "x.csv", "t\nhi\n")
    write(tmp_path / "lang=__HIVE_DEFAULT_PARTITION__" / "x.csv", "t\nhm\n")
    write(tmp_path / "x.csv", "t\nho\n")
    batches = read(open_dataset([str(tmp_path)]))
    by_text = {row.cells["t"]: row.cells["lang"] for batch in batches for row in batch.rows}
    assert by_text == {"hi": "en", "hm": None, "ho": None}
    assert {value for b in batches for value in b.inputs["lang"].to_pylist()} == {"en", None}


def test_compressed_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    plain = open_dataset([write(tmp_path / "a" / "x.csv", LONG)])
    packed = open_dataset([write(tmp_path / "b" / "x.csv.gz", gzip.compress(LONG.encode()))])
    spans = [range(7, 9), range(11_000, 11_500)]
    assert read(packed, spans) == read(plain, spans)
    assert packed.total_bytes < plain.total_bytes


def test_a_file_cut_short_or_replaced_in_mid_run_stops_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", LONG)
    dataset = open_dataset([path])
    Path(path).write_text(LONG[:-5])
    with pytest.raises(MachineFault, match=r"x\.csv has changed"):
        read(dataset)


def test_a_compressed_file_damaged_after_its_beginning_stops_the_run(tmp_path: Path) -> None:
    seed = 11
    print("seed", seed)  # noqa: T201 - shown when the test fails
    numbers = random.Random(seed).choices(range(10**12), k=200_000)
    packed = gzip.compress(("n\n" + "\n".join(map(str, numbers))).encode())
    dataset = open_dataset([write(tmp_path / "x.csv.gz", packed[:-100_000])])
    with pytest.raises(MachineFault, match=r"x\.csv\.gz cannot be read: Truncated"):
        read(dataset)
