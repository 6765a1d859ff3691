from __future__ import annotations

import gzip
import hashlib
import os
import re
from pathlib import Path

import pyarrow as pa
import pytest

from runner.dataset.sources import digest, find_sources, told
from runner.errors import DatasetError, MachineFault


def touch(path: Path, content: bytes = b"a\n1\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def names(paths: list[str], below: Path) -> list[str]:
    return [Path(source.path).relative_to(below).as_posix() for source in find_sources(paths)]


def test_files_keep_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    named = [touch(tmp_path / "b.csv"), touch(tmp_path / "a.csv")]
    assert names(named, tmp_path) == ["b.csv", "a.csv"]


def test_a_folder_is_walked_in_order_of_names_and_marked_names_are_skipped(tmp_path: Path) -> None:
    for name in ("b/2.csv", "b/1.csv", "a/9.csv", "c.csv", "_SUCCESS", ".c.csv.crc", "_old/x.csv"):
        touch(tmp_path / name)
    assert names([str(tmp_path)], tmp_path) == ["a/9.csv", "b/1.csv", "b/2.csv", "c.csv"]


def test_a_pattern_finds_files_and_folders_each_once(tmp_path: Path) -> None:
    for name in ("in/x/1.csv", "in/x/2.csv", "in/y.csv", "in/_z.csv"):
        touch(tmp_path / name)
    expected = ["in/x/1.csv", "in/x/2.csv", "in/y.csv"]
    assert names([str(tmp_path / "in" / "*")], tmp_path) == expected
    assert names([str(tmp_path / "**")], tmp_path) == expected


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path) -> None:
    assert names([touch(tmp_path / "a[1].csv")], tmp_path) == ["a[1].csv"]


def test_a_link_back_to_its_own_folder_is_walked_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.csv")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names([str(tmp_path)], tmp_path) == ["a.csv"]


def test_key_value_folders_below_the_named_one_become_parts(tmp_path: Path) -> None:
    touch(tmp_path / "run=1" / "lang=zh%20CN" / "day=__HIVE_DEFAULT_PARTITION__" / "x.csv")
    expected = (("lang", "zh CN"), ("day", None))
    assert find_sources([str(tmp_path / "run=1")])[0].parts == expected
    assert find_sources([str(tmp_path / "run=1" / "lang=*" / "*" / "*.csv")])[0].parts == expected
    direct = str(tmp_path / "run=1" / "lang=zh%20CN" / "day=__HIVE_DEFAULT_PARTITION__" / "x.csv")
    assert find_sources([direct])[0].parts == ()


def test_what_cannot_be_a_dataset_is_refused_and_told(tmp_path: Path) -> None:
    csv, parquet = touch(tmp_path / "prompts.csv"), touch(tmp_path / "p.parquet")
    (tmp_path / "empty").mkdir()
    refused = {
        (): "no dataset given",
        (str(tmp_path / "promts.csv"),): "no such file or folder; did you mean .*prompts.csv",
        (str(tmp_path / "gone" / "x.csv"),): "the folder .*gone does not exist either",
        (str(tmp_path / "*.jsonl"),): "no file found",
        (str(tmp_path / "empty"),): "no file found",
        (csv, parquet): "prompts.csv is csv and .*p.parquet is parquet: .*one kind",
        (csv, str(tmp_path / "*.csv")): "prompts.csv is named twice",
        ("s3://bucket/x.parquet",): "is an address",
        (touch(tmp_path / "x.json"),): "must end in .* One|one JSON object a line",
        (touch(tmp_path / "x.xlsx"),): "Save it as CSV",
        (touch(tmp_path / "x.parquet.gz"),): "must end in",
        (touch(tmp_path / "README"),): "must end in",
        (os.devnull + ".csv",): "no such file",
    }
    for paths, message in refused.items():
        with pytest.raises(DatasetError, match=message):
            find_sources(paths)


def test_a_pipe_is_refused_for_a_dataset_is_read_more_than_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match="no regular file"):
        find_sources([str(tmp_path / "pipe.csv")])


def test_text_that_is_something_else_is_recognised(tmp_path: Path) -> None:
    for content, meaning in (
        (b"PAR1....PAR1", "a Parquet file; name it .parquet"),
        (gzip.compress(b"a\n1\n"), "gzip-compressed; add .gz"),
        (b"PK\x03\x04....", "an Excel workbook"),
    ):
        source = find_sources([touch(tmp_path / "x.csv", content)])[0]
        with pytest.raises(DatasetError, match=meaning):
            source.check_text()


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path = touch(tmp_path / "x.csv")
    source = find_sources([path])[0]
    source.check_unchanged(MachineFault)
    Path(path).write_bytes(b"a\n1\n2\n")
    with pytest.raises(MachineFault, match=r"x\.csv has changed since this run began"):
        source.check_unchanged(MachineFault)
    Path(path).unlink()
    with pytest.raises(MachineFault, match=r"x\.csv: there is no such file any more"):
        source.check_unchanged(MachineFault)


def test_the_digest_of_one_file_is_the_one_that_sha256sum_prints(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    sources = find_sources([touch(tmp_path / "x.csv", content)])
    assert digest(sources) == hashlib.sha256(content).hexdigest()


def test_the_digest_sees_rows_move_between_files_and_folders(tmp_path: Path) -> None:
    def digest_of(name: str, one: bytes, two: bytes) -> str:
        touch(tmp_path / name / "lang=en" / "1.jsonl", one)
        touch(tmp_path / name / "lang=zh" / "2.jsonl", two)
        return digest(find_sources([str(tmp_path / name)]))

    first = digest_of("a", b"1\n", b"2\n3\n")
    assert first == digest_of("b", b"1\n", b"2\n3\n")
    assert first != digest_of("c", b"1\n2\n", b"3\n")
    alone = find_sources([str(tmp_path / "a" / "lang=en")])
    below = find_sources([str(tmp_path / "a" / "lang=en*")])
    assert digest(alone) != digest(below)


def test_foreign_errors_become_ours_naming_the_file(tmp_path: Path) -> None:
    source = find_sources([touch(tmp_path / "x.csv")])[0]
    with (
        pytest.raises(MachineFault, match=r"x\.csv, row group 3, cannot be read: .*No space"),
        told(source, MachineFault, ", row group 3,"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
def test_compressed_text_is_read_decompressed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.csv.{ending}"
    with pa.output_stream(str(path), compression="detect") as out:
        out.write(b"a\n" * 1000)
    source = find_sources([str(path)])[0]
    assert (source.kind, source.ending) == ("csv", ".csv")
    with source.open_bytes() as file:
        assert file.read() == b"a\n" * 1000


def test_gzip_files_in_several_members_are_read_to_their_end(tmp_path: Path) -> None:
    path = touch(tmp_path / "x.csv.gz", gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    with find_sources([path])[0].open_bytes() as file:
        assert file.read() == b"a\nb\n"


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = touch(tmp_path / "x.csv")
    Path(path).chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DatasetError, match=re.escape("Permission denied")):
        find_sources([path])
