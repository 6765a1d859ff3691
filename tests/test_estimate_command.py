"""`penstock estimate` as a person starts it, and the question before `penstock generate`."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from processes import penstock, simulator

from jobs.cli import penstock as group
from jobs.estimate import estimate

if TYPE_CHECKING:
    from click.testing import Result

EXAMPLES = Path(__file__).parent.parent / "examples"
PARQUET, CSV, JOB = (
    str(EXAMPLES / name) for name in ("prompts.parquet", "prompts.csv", "job.toml")
)


def run(*args: str) -> Result:
    return CliRunner().invoke(estimate, list(args), catch_exceptions=False)


def found(*args: str) -> dict[str, Any]:
    result = run(*args, "--json")
    assert result.stderr == ""
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def test_the_example_is_estimated_without_a_key(tmp_path: Path) -> None:
    ended = penstock("estimate", PARQUET, "--job", JOB, cwd=tmp_path, DASHSCOPE_API_KEY="")
    assert ended.status == 0
    assert ended.err == ""
    assert "qwen-plus (singapore)" in ended.out
    assert ended.out.splitlines()[-1].split(maxsplit=1)[0] == "next"
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_with_every_figure() -> None:
    data = found(PARQUET, "--job", JOB, "-m", "qwen-plus", "-m", "qwen-max")
    assert data["rows"] > 0
    assert [model["model"] for model in data["models"]] == ["qwen-plus", "qwen-max"]
    model = data["models"][0]
    assert model["tokens_exact"] is True
    assert model["prompt_tokens"]["low"] == model["prompt_tokens"]["high"] > 0
    for key in ("completion_tokens", "cost", "input_cost", "output_cost", "time_s", "latency_s"):
        assert model[key]["low"] <= model[key]["high"]
    assert model["currency"] == "USD"
    assert model["binding"] == ["requests"]
    assert model["prices_as_of"]
    assert model["prices_source"]
    assert data["next"].startswith("penstock generate ")


def test_parquet_and_csv_of_the_same_rows_have_the_same_tokens() -> None:
    job = ("-p", "{{ text }}")
    parquet, csv = found(PARQUET, *job), found(CSV, *job)
    assert parquet["models"][0]["prompt_tokens"] == csv["models"][0]["prompt_tokens"]


def test_the_next_command_has_the_same_dataset_and_flags_and_is_one_that_generate_takes() -> None:
    flags = [
        *("-p", "It's {{ text }}", "--param", "a=1", "--param", 'b="x y"', "--region", "beijing"),
        *("--qps", "2.5", "--concurrency", "7", "--no-stream", "-n", "5", "--keep", "id,text"),
    ]
    only_here = [
        "--output-tokens",
        "5:9",
        "--sample",
        "3",
        "--latency",
        "2",
        "--tokenizer",
        "chars",
    ]
    result = run(PARQUET, "-m", "qwen-max", "-m", "qwen-plus", *flags, *only_here)
    last = result.stdout.splitlines()[-1]
    words = shlex.split(last.removeprefix("next "))
    assert words[:3] == ["penstock", "generate", PARQUET]
    given = dict(pairwise(words))
    assert given["--prompt"] == "It's {{ text }}"
    assert given["--model"] == "qwen-max"
    assert given["--qps"] == "2.5"
    assert given["--concurrency"] == "7"
    assert given["--first"] == "5"
    assert "--no-stream" in words
    assert words.count("--param") == 2
    assert not {"--sample", "--latency", "--tokenizer", "--output-tokens"}.intersection(words)
    generate = group.get_command(None, "generate")  # type: ignore[arg-type]
    assert generate is not None
    generate.make_context("generate", words[2:])  # raises for a flag it does not know


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--output-tokens", "many"], "--output-tokens many"),
        (["--tokenizer", "none"], "--tokenizer none: there is no such tokenizer"),
        (["--price-input", "1"], "--price-output is missing"),
        (["--sample", "0"], "--sample"),
        (["-p", "{{ gone }}"], "gone"),
        (["--pilot", "5"], "--pilot"),
    ],
)
def test_wrong_flags_end_with_2_and_one_message(
    tmp_path: Path, flags: list[str], said: str
) -> None:
    ended = penstock("estimate", PARQUET, "--job", JOB, *flags, cwd=tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_dear_run_without_a_terminal_is_refused_before_anything_is_made_or_sent(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.csv").write_text("prompt\n" + "hello\n" * 100)
    with simulator(cwd=tmp_path) as server:
        command = ["generate", "x.csv", "-o", "run", "--base-url", server.base_url, "--quiet"]
        command += ["--region", "singapore", "--param", "max_tokens=100000", "--qps", "1000"]
        refused = penstock(*command, cwd=tmp_path)
        assert refused.status == 2
        assert "--yes" in refused.err
        assert not (tmp_path / "run").exists()
        assert server.stats()["requests"] == 0
        assert penstock(*command, "--yes", cwd=tmp_path).status == 0
        # all is answered: a repetition has nothing to ask about
        assert penstock(*command, cwd=tmp_path).status == 0
        assert server.stats()["requests"] == 100


def test_a_rehearsal_stands_beside_the_arithmetic(tmp_path: Path) -> None:
    ended = penstock(
        "estimate", PARQUET, "--job", JOB, "--rehearse", cwd=tmp_path, DASHSCOPE_API_KEY=""
    )
    assert ended.status == 0
    assert ended.err == ""
    assert "rehearsal of qwen-plus, on a simulated clock" in ended.out
    assert "by arithmetic" in ended.out
    assert "limited by" in ended.out
    assert "--rehearse" not in ended.out.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_in_json_has_every_figure() -> None:
    rehearsal = found(PARQUET, "--job", JOB, "--rehearse")["rehearsal"]
    assert rehearsal["rows"] == rehearsal["of_rows"] == 40
    assert sum(stretch["rows"] for stretch in rehearsal["course"]) == 40
    assert rehearsal["time_s"] > 0
    assert rehearsal["stopped"] is None
