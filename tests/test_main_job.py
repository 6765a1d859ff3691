"""The main job, end to end, on real files, real processes and real sockets."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from processes import penstock, simulator, started

from runner.journal import JournalFile
from runner.simulator import answer_to

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 20_000
PROMPT = "Answer: {{ text }}"
SEED = 20261124


def prompts(rows: int) -> pa.Table:
    rng = random.Random(SEED)
    texts = [
        f"question {row}: {'水 ' * rng.randint(0, 30)}{'word ' * rng.randint(1, 40)}"
        + ('😀, "quoted"\nand a second line' if row % 7 == 0 else "")
        for row in range(rows)
    ]
    return pa.table({"id": [f"{row:06d}" for row in range(rows)], "text": texts})


def write_dataset(folder: Path, kind: str, rows: int) -> str:
    table = prompts(rows)
    path = folder / f"prompts.{kind}"
    if kind == "csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=3_000)
    return path.name


def read_output(folder: Path) -> list[dict[str, Any]]:
    parts = sorted((folder / "completions").iterdir())
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def assert_every_row_has_its_own_answer(output: list[dict[str, Any]], rows: int) -> None:
    assert [row["row"] for row in output] == list(range(rows))
    for row, asked in zip(output, prompts(rows).to_pylist(), strict=True):
        assert (row["id"], row["text"]) == (asked["id"], asked["text"])
        question = [{"role": "user", "content": f"Answer: {asked['text']}"}]
        assert row["completion"] == answer_to(question), f"row {row['row']}, seed {SEED}"
        assert row["error_type"] is None


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_every_row_of_a_large_file_gets_its_answer_through_errors(
    tmp_path: Path, kind: str
) -> None:
    dataset = write_dataset(tmp_path, kind, ROWS)
    errors = "429=0.05,500=0.02,503=0.02"
    with simulator("--errors", errors, cwd=tmp_path) as server:
        ended = penstock(
            "generate", dataset, "-p", PROMPT, "--base-url", server.base_url, "--region",
            "singapore", "--concurrency", "300", "--json", "--yes", "-o", "run", cwd=tmp_path,
        )  # fmt: skip
        stats = server.stats()
    assert ended.status == 0, ended.err
    output = read_output(tmp_path / "run")
    assert_every_row_has_its_own_answer(output, ROWS)
    summary = ended.json()
    assert (summary["state"], summary["rows"], summary["succeeded"]) == ("finished", ROWS, ROWS)
    assert stats["answered"] == ROWS
    for name in ("prompt_tokens", "completion_tokens"):
        assert summary[name] == stats[name] == sum(row[name] for row in output)
    assert summary["requests"] == stats["requests"] == sum(row["attempts"] for row in output)
    assert summary["retries"] == stats["requests"] - ROWS > 0
    assert summary["cost"] == pytest.approx(sum(row["cost"] for row in output))


def kill_amid(process: Any, run: Path) -> None:
    """SIGKILL when some blocks are sealed and others hold results in the journal."""
    while process.poll() is None:
        sealed = len(list(run.glob("seals/*.json")))
        if sealed >= 3 and list(run.glob("journal/*.jsonl")):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()


def journalled_rows(run: Path) -> set[int]:
    files = (run / "journal").glob("*.jsonl")
    return {row for file in files for row in JournalFile(file, mend=False).results}


def sealed_rows(run: Path) -> set[int]:
    return {row["row"] for row in read_output(run)}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_killed_run_goes_on_without_asking_anything_kept_again(tmp_path: Path, kind: str) -> None:
    rows, workers = 5_000, 50
    dataset = write_dataset(tmp_path, kind, rows)
    with simulator("--latency", "0.01:0.05", cwd=tmp_path) as server:
        command = (
            "generate", dataset, "-p", PROMPT, "--base-url", server.base_url, "--region",
            "singapore", "--concurrency", str(workers), "-o", "run",
        )  # fmt: skip
        with started(*command, cwd=tmp_path) as process:
            kill_amid(process, tmp_path / "run")
        kept = journalled_rows(tmp_path / "run") | sealed_rows(tmp_path / "run")
        assert 600 < len(kept) < rows
        before = len(server.log())
        ended = penstock("resume", "run", "--json", cwd=tmp_path)
        log, stats = server.log(), server.stats()
    assert ended.status == 0, ended.err
    assert_every_row_has_its_own_answer(read_output(tmp_path / "run"), rows)
    assert list((tmp_path / "run" / "journal").iterdir()) == []
    # The log's digest of a body is a row's key: BLAKE2b over the bytes that were sent.
    asked_after = {entry["body"] for entry in log[before:]}
    assert not asked_after & keys_of(tmp_path / "run", kept)
    assert len(asked_after) == len(log) - before == rows - len(kept)
    assert stats["asked_again"] <= workers
    assert ended.json()["total_tokens"] == sum(
        row["total_tokens"] for row in read_output(tmp_path / "run")
    )


def keys_of(run: Path, rows: set[int]) -> set[str]:
    packed = b"".join(path.read_bytes() for path in sorted((run / "seals").glob("*.keys")))
    return {packed[16 * row : 16 * row + 16].hex() for row in rows}


def test_ctrl_c_lets_replies_land_and_a_resume_finishes(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, "parquet", 800)
    with simulator("--latency", "0.05:0.2", cwd=tmp_path) as server:
        command = (
            "generate", dataset, "-p", PROMPT, "--base-url", server.base_url, "--concurrency",
            "40", "-o", "answers.csv",
        )  # fmt: skip
        with started(*command, cwd=tmp_path) as process:
            run = tmp_path / "answers.csv.run"
            while not list(run.glob("journal/*.jsonl")):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        assert process.returncode == 130
        assert "replies are on the way" in err
        assert err.splitlines()[-1].split(maxsplit=1) == ["next", "penstock resume answers.csv"]
        kept = len(journalled_rows(run) | sealed_rows(run))
        assert len((tmp_path / "answers.csv").read_text("utf-8").splitlines()) > kept
        assert server.stats()["answered"] == kept
        assert "client_gone" not in server.stats()["by_status"]
        ended = penstock("resume", "answers.csv", cwd=tmp_path)
        assert ended.status == 0, ended.err
        assert server.stats()["answered"] == 800
    table = pa_csv.read_csv(
        tmp_path / "answers.csv", parse_options=pa_csv.ParseOptions(newlines_in_values=True)
    )
    assert table["row"].to_pylist() == list(range(800))


def test_five_rows_first_then_the_rest(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, "csv", 300)
    with simulator(cwd=tmp_path) as server:
        command = ("generate", dataset, "-p", PROMPT, "--base-url", server.base_url)
        more = ("--concurrency", "10", "-o", "run")
        first = penstock(*command, *more, "-n", "5", "--json", cwd=tmp_path)
        assert (first.status, first.json()["rows"], first.json()["succeeded"]) == (0, 5, 5)
        assert first.json()["next"] == "penstock resume run -n all"
        rest = penstock("resume", "run", "-n", "all", "--json", cwd=tmp_path)
        assert (rest.status, rest.json()["rows"], rest.json()["succeeded"]) == (0, 300, 300)
        again = penstock(*command, *more, "--json", cwd=tmp_path)
        assert (again.status, again.json()["succeeded"]) == (0, 300)
        assert server.stats()["requests"] == 300
    assert_every_row_has_its_own_answer(read_output(tmp_path / "run"), 300)


def test_an_outage_costs_no_row(tmp_path: Path) -> None:
    rows = 1_500
    dataset = write_dataset(tmp_path, "parquet", rows)
    slow = ("--latency", "0.02:0.1")
    with simulator(*slow, cwd=tmp_path) as first:
        command = (
            "generate", dataset, "-p", PROMPT, "--base-url", first.base_url, "--concurrency",
            "40", "--max-attempts", "2", "-o", "run", "--json",
        )  # fmt: skip
        with started(*command, cwd=tmp_path) as process:
            run = tmp_path / "run"
            while not list(run.glob("seals/*.json")):
                assert process.poll() is None
            first.kill()
            assert process.stderr is not None
            for line in process.stderr:
                if "everyone waits while one row probes" in line:
                    break
            port = first.base_url.split(":")[2].split("/")[0]
            with simulator(*slow, port=port, cwd=tmp_path):
                out, err = process.communicate()
    assert process.returncode == 0, err
    assert "answers again" in err
    summary = json.loads(out)
    assert (summary["succeeded"], summary["failed"]) == (rows, 0)
    assert_every_row_has_its_own_answer(read_output(run), rows)
