"""What lies in a run folder, and what RUN means."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from runner.errors import RunFolderError
from runner.folder import RunFile, RunFolder, run_folder_of
from runner.job import Job

RUN = RunFile(
    job=Job.build(
        {
            "prompt": "Say {{ text }}\n",
            "params": {"temperature": 0.5, "stop": ["a", None]},
            "keep": ["id"],
            "first": 5,
            "limits": {"qps": 2.5, "max_outage_s": "1h"},
        }
    ),
    paths=("/data/a b.csv", "/data/中.csv"),
    stamp=[{"path": "/data/a b.csv", "size": 3, "mtime_ns": 1_700_000_000_000_000_001}],
    digest="00" * 32,
    total_rows=None,
    block_rows=64,
    rehearsal=False,
    export=None,
    created=1_700_000_000.25,
    version="0.1.0",
)


def new_folder(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.prepare()
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "deep" / "run")
    assert not folder.exists()
    folder.write_run(RUN)
    assert folder.exists()
    assert folder.read_run() == RUN
    folder.write_run(RUN.at_end(7))
    assert folder.read_run() == replace(RUN, total_rows=7)


@pytest.mark.parametrize("name", ["out", "out/", "./out", "dir/out.d"])
def test_a_folder_s_name_means_the_folder(name: str) -> None:
    folder, file = run_folder_of(name)
    assert (folder.path, file) == (Path(name), None)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_s_name_means_the_folder_beside_it(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"an answer.{kind}"
    for name in (file, Path(f"{file}.run")):
        folder, beside = run_folder_of(str(name))
        assert (folder.path, beside) == (Path(f"{file}.run"), file)
    file.mkdir()
    assert run_folder_of(str(file))[1] is None, "a folder may be called so"


def test_where_there_is_no_run_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="there is no such run; `penstock generate -o"):
        RunFolder(tmp_path / "none").read_run()
    with pytest.raises(RunFolderError, match="holds no run"):
        RunFolder(tmp_path).read_run()
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunFolderError, match="is a file, and not a run's"):
        RunFolder(tmp_path / "file").read_run()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"3", b"\xff", b'{"layout":1}', b'{"layout":1,"job":{"nonsense":1}}'],
)
def test_a_damaged_run_file_is_named(tmp_path: Path, text: bytes) -> None:
    folder = new_folder(tmp_path)
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(RunFolderError, match=r"run\.json (is damaged|cannot be read)"):
        folder.read_run()


def test_a_flipped_bit_in_a_run_file_is_noticed(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    whole, read = RUN.encode(), 0
    for at in range(len(whole)):
        (tmp_path / "run.json").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with suppress(RunFolderError):
            # The name of the checksum may be what was flipped; the rest is whole then.
            assert folder.read_run() == RUN, f"byte {at}"
            read += 1
    assert read <= len('"crc"')


def test_a_run_file_with_another_checksum_is_taken_once_somebody_has_looked_it_through(
    tmp_path: Path,
) -> None:
    folder = new_folder(tmp_path)
    flipped = RUN.encode().replace(b"a b.csv", b"a c.csv")
    (tmp_path / "run.json").write_bytes(flipped)
    with pytest.raises(RunFolderError, match=r"its checksum is not .* set its crc to null"):
        folder.read_run()
    data = {**orjson.loads(flipped), "crc": None}
    (tmp_path / "run.json").write_bytes(orjson.dumps(data))
    assert folder.read_run().paths[0] == "/data/a c.csv"


def test_a_run_file_of_a_version_without_checksums_is_read(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    data = orjson.loads(RUN.encode())
    del data["crc"]
    (tmp_path / "run.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
    assert folder.read_run() == RUN


@pytest.mark.parametrize("missing", ["paths", "job", "block_rows", "stamp"])
def test_a_run_file_without_a_key_is_damaged(tmp_path: Path, missing: str) -> None:
    folder = new_folder(tmp_path)
    data = orjson.loads(RUN.encode())
    del data[missing], data["crc"]
    (tmp_path / "run.json").write_bytes(orjson.dumps(data))
    with pytest.raises(RunFolderError, match=rf"run\.json is damaged.*{missing}"):
        folder.read_run()


def test_a_layout_of_another_version_is_left_alone(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    data = orjson.loads(RUN.encode()) | {"layout": 3, "version": "9.9"}
    (tmp_path / "run.json").write_bytes(orjson.dumps(data))
    with pytest.raises(RunFolderError, match=r"made by penstock 9\.9"):
        folder.read_run()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunFolderError, match="cannot make the run folder") as refused:
        RunFolder(tmp_path / "file" / "run").prepare()
    assert "then resume" not in str(refused.value)


def test_a_run_may_begin_where_nothing_is_or_a_start_was_cut_short(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.is_vacant()
    folder.prepare()
    assert folder.is_vacant()
    with folder.lock():
        assert folder.is_live()
    assert not folder.is_live()
    assert "pid" in folder.holder()
    (tmp_path / "run" / ".run.json.tmp").write_text("{")
    assert folder.is_vacant()


@pytest.mark.parametrize("name", ["notes.txt", "journal/00000.jsonl", "seals/x", "completions/x"])
def test_a_folder_that_holds_anything_else_is_not_vacant(tmp_path: Path, name: str) -> None:
    folder = new_folder(tmp_path)
    (tmp_path / name).write_text("text")
    assert not folder.is_vacant()


def test_a_file_is_not_vacant(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not RunFolder(tmp_path / "file").is_vacant()
