from __future__ import annotations

import gzip
import random
import re
from typing import TYPE_CHECKING

import pytest

from runner.dataset import open_dataset
from runner.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


def refused(path: Path, content: str | bytes, message: str, **options: str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=message):
        open_dataset([str(path)], **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"x\.csv is empty; its first line must name the columns"),
        ("\n \n", r"x\.csv is empty"),
        ("a,b\n", r"x\.csv: the dataset has a header, but no rows"),
        ("a,b\n\n\n", "no rows"),
        ("a,,c\n1,2,3\n", r"the header of .*x\.csv has no name for column 2; .*index=False"),
        (",text\n0,hi\n", "has no name for column 1"),
        ("a,b,a\n1,2,3\n", r"the header of .*x\.csv names column 'a' twice"),
        ("id;text\n1;hi\n", "has one column, called 'id;text': add --csv-delimiter ';'"),
        ("id\ttext\n1\thi\n", "add --csv-delimiter tab"),
        ("id|text\n1|hi\n", r"add --csv-delimiter '\|'"),
        ("a,b\n1,2\n3\n", r"line 3 of .*x\.csv: expected 2 fields as in the header, found 1: 3"),
        ('a,b\n1,2\n3,"x\n', r"line 3 of .*x\.csv opens a quote \(\"\) that is not closed"),
        ("a,b\n1\n2\n3\n", r"found 1: 1 \(2 more such lines follow soon\)"),
    ],
)
def test_a_flaw_near_the_beginning_is_refused_and_told(
    tmp_path: Path, content: str, message: str
) -> None:
    refused(tmp_path / "x.csv", content, message)


def test_a_flaw_after_the_first_megabyte_is_left_to_the_run(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    sound = "1,0123456789\n" * 100_000
    path.write_text("a,b\n" + sound + "ragged\n")
    assert open_dataset([str(path)]).total_rows is None
    refused(path, "a,b\n" + sound[: 13 * 70_000] + "ragged\n", "line 70002 of .*: ragged")


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_another_encoding_is_found_out_and_proposed(tmp_path: Path, encoding: str) -> None:
    text = "编号,文本\n1,今天天气怎么样\n"
    message = f"not utf-8.*\n*.*Try --csv-encoding {encoding}, which reads it as: 编号,文本"
    refused(tmp_path / "x.csv", text.encode(encoding), message)
    ascii_header = "id,text\n1,今天天气怎么样\n".encode(encoding)
    refused(tmp_path / "x.csv", ascii_header, f"Try --csv-encoding {encoding}, which reads it as")
    assert open_dataset([str(tmp_path / "x.csv")], csv_encoding=encoding).total_rows == 1


def test_an_undecodable_row_names_its_line_and_byte(tmp_path: Path) -> None:
    message = re.escape(r"is not utf-8 (byte 0xe9 at character 6): 1,caf\xe9") + "\nTry .*cp1252"
    refused(tmp_path / "x.csv", b"id,text\n1,caf\xe9\n", "line 2 of .*x.csv " + message)


def test_one_broken_line_among_sound_ones_is_not_blamed_on_the_encoding(tmp_path: Path) -> None:
    sound = "1,你好\n" * 20
    refused(
        tmp_path / "x.csv",
        ("id,text\n" + sound).encode() + b"2,\xff\xfe\n",
        "line 22 of .*\nMost other lines beyond ASCII are sound utf-8: repair this one",
    )


def test_utf_16_without_its_mark_is_found_out_too(tmp_path: Path) -> None:
    refused(tmp_path / "x.csv", "id,text\n1,hi\n".encode("utf-16-le"), "--csv-encoding utf-16-le")


def test_bytes_that_no_encoding_explains_are_told_without_a_guess(tmp_path: Path) -> None:
    refused(tmp_path / "x.csv", b"id,text\n1,\x81\x20\xff\x20\x8d\n", "Save the file as UTF-8, or")


def test_an_unknown_encoding_is_refused_before_a_file_is_looked_at() -> None:
    with pytest.raises(DatasetError, match="--csv-encoding klingon"):
        open_dataset(["nothing.csv"], csv_encoding="klingon")


def test_files_of_other_columns_are_refused_naming_both(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("b,a\n1,2\n")
    with pytest.raises(
        DatasetError, match=r"2\.csv has the columns b, a, but .*1\.csv has a, b: .*one header"
    ):
        open_dataset([str(tmp_path)])


def test_tabs_are_the_default_of_tsv_alone(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("a\tb\n1,5\t2\n")
    assert open_dataset([str(tmp_path / "x.tsv")]).schema.names == ["a", "b"]
    refused(tmp_path / "y.tsv", "a,b\n1,2\n", "its name should end in .csv")


def test_a_compressed_file_cut_short_is_refused(tmp_path: Path) -> None:
    seed = 7
    print("seed", seed)  # noqa: T201 - shown when the test fails
    numbers = random.Random(seed).choices(range(10**9), k=20_000)
    whole = gzip.compress(("n\n" + "\n".join(map(str, numbers))).encode())
    refused(tmp_path / "x.csv.gz", whole[: len(whole) // 2], r"x\.csv\.gz cannot be read: Trunc")
    refused(tmp_path / "x.csv.gz", b"n\n1\n", r"x\.csv\.gz cannot be read")


@pytest.mark.parametrize("seed", range(5))
def test_of_what_is_no_text_the_beginning_is_shown_with_its_bytes_made_visible(
    tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\x7fELF\0\x1b[31m\r" + random.Random(seed).randbytes(5000))
    with pytest.raises(DatasetError) as caught:
        open_dataset([str(path)])
    text = str(caught.value)
    assert r"\x7fELF\x00\x1b[31m" in text
    assert "It holds no text. Name it after what it is" in text
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text) < 700
