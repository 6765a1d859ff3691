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
        "--yes",
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
    assert not {"--sample", "--latency", "--tokenizer", "--output-tokens", "--yes"}.intersection(
        words
    )
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
    assert "--rehearse" in ended.out.splitlines()[-1]  # or it would spend money
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_in_json_has_every_figure() -> None:
    rehearsal = found(PARQUET, "--job", JOB, "--rehearse")["rehearsal"]
    assert rehearsal["rows"] == rehearsal["of_rows"] == 40
    assert sum(stretch["rows"] for stretch in rehearsal["course"]) == 40
    assert rehearsal["time_s"] > 0
    assert rehearsal["stopped"] is None


def test_a_pilot_is_kept_and_paid_once_and_its_estimate_holds_against_the_bill(
    tmp_path: Path,
) -> None:
    with (tmp_path / "q.csv").open("w") as file:
        file.write("text\n" + "".join(f"{'word ' * (row % 40)}{row}\n" for row in range(2000)))
    with simulator(cwd=tmp_path) as server:
        job = ["-p", "Say {{ text }}", "--base-url", server.base_url, "--region", "singapore"]
        limits = ["--concurrency", "40"]
        ended = penstock(
            "estimate", "q.csv", *job, *limits, "--pilot", "60", "-o", "run", "--json", cwd=tmp_path
        )
        assert ended.status == 0, ended.err
        said = ended.json()
        assert said["next"] == "penstock resume run -n all"
        assert (said["pilot"]["rows"], said["pilot"]["succeeded"]) == (60, 60)
        assert said["measured"]["pilot"]
        [model] = said["models"]
        assert model["requests_done"] == 60
        assert not model["output_assumed"]
        assert server.stats()["requests"] == 60
        again = penstock("resume", "run", "--json", cwd=tmp_path).json()
        assert (again["state"], again["rows"]) == ("finished", 60)
        status = penstock("status", "run", "--json", cwd=tmp_path).json()
        assert (status["rows"], status["next"]) == (60, "penstock resume run -n all")
        done = penstock("resume", "run", "-n", "all", "--json", cwd=tmp_path)
        end = done.json()
        stats = server.stats()
    assert (end["rows"], end["succeeded"], stats["requests"]) == (2000, 2000, 2000)
    assert end["completion_tokens"] == stats["completion_tokens"]
    assert model["cost"]["low"] <= end["cost"] <= model["cost"]["high"] <= 2 * model["cost"]["low"]
    low, high = model["completion_tokens"]["low"], model["completion_tokens"]["high"]
    assert low <= stats["completion_tokens"] <= high
    assert end["estimated"]["low"] == model["cost"]["low"]
    folder = tmp_path / "run"
    told = penstock("status", "run", cwd=tmp_path).out
    assert "estimated" in told
    assert ": within" in told
    assert not list((folder / "journal").iterdir())
    # The finished run is now what the next estimate measures by, named or not.
    sure = penstock("estimate", "q.csv", *job, "-o", "run", "--json", cwd=tmp_path).json()
    assert sure["models"][0]["cost"]["high"] == pytest.approx(end["cost"])
    assert sure["models"][0]["cost_to_pay"]["high"] == pytest.approx(0, abs=1e-9)
    assert sure["models"][0]["output_source"] == "as billed: all answers are in run"


def test_a_pilot_at_own_prices_is_compared_at_these(tmp_path: Path) -> None:
    flags = ["-n", "all", "--price-input", "10", "--price-output", "20", "--tokenizer", "chars"]
    ended = penstock(
        "estimate", PARQUET, "--job", JOB, "--pilot", "10", "--rehearse", "-o", "run", *flags,
        cwd=tmp_path, DASHSCOPE_API_KEY="",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    end = penstock("resume", "run", "-n", "all", cwd=tmp_path)
    assert "by its tokens, at your prices of 10 in and 20 out: " in end.err


def test_a_pilot_can_be_rehearsed_without_a_key(tmp_path: Path) -> None:
    ended = penstock(
        "estimate", PARQUET, "--job", JOB, "--pilot", "10", "--rehearse", "-o", "run",
        cwd=tmp_path, DASHSCOPE_API_KEY="",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert "made up by the stand-in server" in ended.out
    assert "to pay" not in ended.out  # nothing has been paid, and all is to be asked for real
    assert "for the rest" not in ended.out
    assert "put right" not in ended.out
    sure, rough = (
        found(PARQUET, "--job", JOB, *flags) for flags in ([], ["-o", f"{tmp_path}/run"])
    )
    assert sure["models"][0]["prompt_tokens"] == rough["models"][0]["prompt_tokens"]
    assert rough["models"][0]["requests_done"] == 0
    assert ended.out.splitlines()[-1].split(maxsplit=1)[1] == "penstock resume run -n all"
    other = penstock("estimate", PARQUET, "-p", "other {{ text }}", "-o", "run", cwd=tmp_path)
    assert other.status == 2
    assert "another job (another prompt, another system, another params)" in other.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--pilot", "100"], "-o"),
        (["--pilot", "1", "-o", "run"], "--pilot"),
        (["--pilot", "9", "-o", "run", "--output-tokens", "5"], "--output-tokens"),
        (["-o", "nowhere"], "nowhere"),
        (["--pilot", "20", "-o", "run", "--param", "max_tokens=32000", "-m", "qwen-max"], "--yes"),
    ],
)
def test_a_pilot_that_cannot_be_asked_sends_nothing(
    tmp_path: Path, flags: list[str], word: str
) -> None:
    (tmp_path / "q.csv").write_text("prompt\n" + "hello\n" * 100)
    ended = penstock("estimate", "q.csv", "--price-input", "1", "--price-output", "99", *flags,
                     "--base-url", "http://127.0.0.1:9/v1", cwd=tmp_path)  # fmt: skip
    assert ended.status == 2
    assert word in ended.err
    assert not (tmp_path / "run").exists()


def test_models_between_commas_are_told_to_repeat_the_flag(tmp_path: Path) -> None:
    ended = penstock("estimate", PARQUET, "--job", JOB, "-m", "qwen-plus,qwen-flash", cwd=tmp_path)
    assert ended.status == 2
    assert "repeat it: -m qwen-plus -m qwen-flash" in ended.err
