"""`penstock plan`, and resuming what it showed, as a person does it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from commands import run_here
from processes import penstock, simulator
from some_runs import SomeRun, questions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes import Server

KEYS = [
    *("run", "job", "dataset", "rows", "reused", "reused_succeeded", "reused_failed"),
    *("changed", "changed_by_job", "changed_by_input", "new", "gone", "to_ask"),
    *("models", "asked", "damaged", "damaged_lines", "superseded", "needs", "next"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SomeRun:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    made = SomeRun(tmp_path, questions(12), model="qwen-plus")
    made.seal(0, [made.answer(0), made.failure(1), made.answer(2), made.answer(3)])
    made.journal(made.answer(4), made.answer(5))
    return made


def next_of(out: str) -> list[str]:
    """The last line's words, after `next`."""
    word, *command = shlex.split(out.splitlines()[-1])
    assert word == "next"
    return command


@pytest.mark.usefixtures("run")
def test_an_unchanged_run_needs_no_flag_and_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "plan", "run")
    assert (ended.status, ended.err) == (0, "")
    assert "  reused    6 rows: 5 succeeded, 1 failed\n" in ended.out
    assert "  new       6 rows without an answer\n" in ended.out
    assert "needs" not in ended.out
    assert next_of(ended.out) == ["penstock", "resume", "run"]


def test_json_has_every_figure(run: SomeRun, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_here(capsys, "plan", run.name, "--json").json()
    assert list(found) == KEYS
    assert (found["reused"], found["new"], found["to_ask"]) == (6, 6, 6)
    changed = run_here(capsys, "plan", run.name, "-m", "qwen-max", "--json").json()
    assert (changed["changed_by_job"], changed["to_ask"]) == (6, 12)
    assert changed["asked"] == {"qwen-max": 12}
    assert changed["needs"] == ["--accept-changes", "--keep-answered"]


@pytest.mark.usefixtures("run")
def test_another_model_is_told_once_with_the_mixture(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "plan", "run", "-m", "qwen-max", "-p", "It's {{ text }}")
    assert ended.out.count("model: the run has") == 1
    assert "  changed   6 rows: 6 by the job\n" in ended.out
    assert (
        "  needs     --accept-changes: asks 12 rows; or --keep-answered: asks the 6 without"
        in ended.out
    )
    assert next_of(ended.out) == [
        *("penstock", "resume", "run", "--prompt", "It's {{ text }}"),
        *("--model", "qwen-max", "--accept-changes"),
    ]


def test_a_changed_dataset_is_told_row_by_row(
    run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    table = questions(14).slice(1)  # row 0 is gone, two are new
    texts = ["other" if row == 3 else f"question {row}" for row in range(1, 14)]
    pq.write_table(table.set_column(1, "text", pa.array(texts)), run.data)
    out = run_here(capsys, "plan", "run").out
    assert "  reused    4 rows: 3 succeeded, 1 failed\n" in out
    assert "  changed   1 row: 1 by the input\n" in out, "known by its id"
    assert "  new       8 rows without an answer\n" in out
    assert "  gone      1 answer whose row is not there any more\n" in out
    assert next_of(out)[-1] == "--accept-changes"


def test_verify_reads_everything_and_names_what_is_damaged(
    run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "  verified  every part" in run_here(capsys, "plan", "run", "--verify").out
    part = run.folder.seals(run.run).part(0)
    content = bytearray(part.read_bytes())
    content[100] ^= 1
    part.write_bytes(content)
    journal = run.folder.journal / "00001.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"answer 5", b"answer 6"))
    assert "is damaged (its" not in run_here(capsys, "plan", "run").out, "the sizes are right"
    verified = run_here(capsys, "plan", "run", "--verify")
    assert verified.status == 5
    out = verified.out
    assert f"{part.relative_to(Path.cwd())} is damaged (its SHA-256" in out
    assert "its 4 rows (from row 0)" in out
    assert f"{journal.relative_to(Path.cwd())}, line 2, is damaged; its row is asked again" in out
    assert "--verify" not in next_of(out)
    assert next_of(out)[-1] == "--accept-changes"


@pytest.mark.parametrize("arguments", [["nothing"], ["run", "-p", "{{ none }}"], ["run", "no.csv"]])
@pytest.mark.usefixtures("run")
def test_a_wrong_command_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_here(capsys, "plan", *arguments).status == 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with simulator(cwd=tmp_path_factory.mktemp("server")) as found:
        yield found


def test_a_run_that_drifts_costs_what_the_server_says(tmp_path: Path, server: Server) -> None:
    """Real processes: appended, reordered, another template, a damaged part, all on one run."""
    table = questions(200)
    pa_csv.write_csv(table, tmp_path / "d.csv")
    where = ("--base-url", server.base_url, "--qps", "2000", "--concurrency", "50")
    job = ("-p", "Say {{ text }}", "-m", "qwen-plus", "--id-column", "id")
    assert penstock("generate", "d.csv", *job, *where, "-o", "out", cwd=tmp_path).status == 0
    asked = server.stats()["requests"]
    assert asked == 200

    longer = questions(203)
    pa_csv.write_csv(longer.take(pa.array(range(202, -1, -1))), tmp_path / "d.csv")
    refused = penstock("resume", "out", cwd=tmp_path)
    assert refused.status == 2
    for word in ("3 rows without an answer", "penstock plan out", "--keep-answered"):
        assert word in refused.err
    planned = penstock("plan", "out", cwd=tmp_path)
    assert server.stats()["requests"] == asked
    accepted = penstock(*next_of(planned.out)[1:], cwd=tmp_path)
    assert accepted.status == 0, accepted.err
    assert server.stats()["requests"] == asked + 3

    other = ("-p", "Tell {{ text }}")
    assert penstock("resume", "out", *other, cwd=tmp_path).status == 2
    kept = penstock("resume", "out", *other, "--keep-answered", "--json", cwd=tmp_path)
    assert (kept.status, kept.json()["succeeded"]) == (0, 203)
    assert server.stats()["requests"] == asked + 3

    part = tmp_path / "out" / "completions" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    damaged = penstock("resume", "out", cwd=tmp_path)
    assert damaged.status == 5
    assert "penstock resume out --accept-changes" in damaged.err
    ended = penstock("resume", "out", "--accept-changes", "--json", cwd=tmp_path)
    assert (ended.status, ended.json()["superseded"]["rows"]) == (0, 64)
    assert server.stats()["requests"] == asked + 3 + 64
    rows = [
        row
        for path in sorted((tmp_path / "out" / "completions").iterdir())
        for row in pq.read_table(path, columns=["row", "id"]).to_pylist()
    ]
    assert [row["row"] for row in rows] == list(range(203))
    assert [row["id"] for row in rows] == [f"id-{202 - row}" for row in range(203)]
