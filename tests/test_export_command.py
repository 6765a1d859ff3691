"""`penstock export` as a person sees it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from commands import run_here
from processes import penstock, simulator, started
from some_runs import SomeRun, questions

from jobs.export import _ended_by_signals

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SomeRun:
    monkeypatch.chdir(tmp_path)
    made = SomeRun(tmp_path, questions(6))
    made.seal(0, [made.answer(0), made.failure(1), made.answer(2), made.answer(3)])
    return made


@pytest.mark.usefixtures("run")
def test_it_tells_what_was_written_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "export", "run", "out.csv")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == ("out.csv: 4 rows written. The run has 3 succeeded, 1 failed, 2 pending\n")
    found = run_here(capsys, "export", "run", "out.csv", "--only", "failed", "--json").json()
    assert found == {
        "run": "run", "file": "out.csv", "rows": 1, "succeeded": 3, "failed": 1, "pending": 2,
    }  # fmt: skip


def test_a_foreign_file_is_refused_and_cut_cells_are_named(
    run: SomeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.csv").write_text("mine")
    run.journal(run.answer(4, completion="y" * 40_000))
    ended = run_here(capsys, "export", "run", "out.csv", "--excel")
    assert (ended.status, ended.out) == (2, "")
    assert "out.csv is there already" in ended.err
    ended = run_here(capsys, "export", "run", "out.csv", "--excel", "--yes")
    assert ended.status == 0
    assert ended.err.splitlines()[1:] == [
        "row 4, column completion: 40,000 characters, cut to the 32,767 that an Excel cell holds"
    ]
    found = run_here(capsys, "export", "run", "out.csv", "--excel", "--json")
    assert found.json()["cut_cells"] == 1


def test_wrong_names_and_lost_parts_have_their_exit_status(
    run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for args in (("run", "out.txt"), ("run", "no/out.csv"), ("nowhere", "out.csv"), ("run",)):
        ended = run_here(capsys, "export", *args)
        assert (ended.status, ended.out) == (2, "")
    run.folder.seals(run.run).part(0).unlink()
    assert run_here(capsys, "export", "run", "out.csv").status == 5


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals there")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_in_order_and_the_handlers_are_given_back(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), _ended_by_signals():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_run_that_goes_on_is_exported_without_a_row_lost_or_doubled(tmp_path: Path) -> None:
    rows = 3_000
    pq.write_table(questions(rows), tmp_path / "data.parquet")
    with simulator("--latency", "0.01:0.5", cwd=tmp_path) as server, started(
        "generate", "data.parquet", "-p", "{{ text }}", "--base-url", server.base_url,
        "--region", "singapore", "--qps", "800", "-o", "run", "--quiet", cwd=tmp_path,
    ) as going:  # fmt: skip
        counts = []
        while going.poll() is None:
            ended = penstock("export", "run", "out.parquet", cwd=tmp_path)
            if ended.status == 2:  # not begun yet
                continue
            assert ended.status == 0, ended.err
            table = pq.read_table(tmp_path / "out.parquet", columns=["row", "id"])
            numbers: list[int] = [row or 0 for row in table["row"].to_pylist()]
            assert numbers == sorted(set(numbers))
            assert table["id"].to_pylist() == [f"id-{row}" for row in numbers]
            counts.append(len(numbers))
        assert going.returncode == 0
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert penstock("export", "run", "out.csv", "--json", cwd=tmp_path).json()["rows"] == rows
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"data.parquet", "run", "out.parquet", "out.csv"}
