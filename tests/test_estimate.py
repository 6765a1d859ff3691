from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner import begin, run_to_end, simulator
from runner.errors import JobError
from runner.estimate import estimate
from runner.estimate.ranges import Range
from runner.job import Job
from runner.tokens import load_tokenizer, prompt_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from runner.summary import Summary

QWEN = load_tokenizer("qwen")


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def prompts(folder: Path, *texts: str) -> str:
    return write(folder, [{"prompt": text} for text in texts])


def test_prompt_tokens_are_the_sum_over_all_rows_exactly(tmp_path: Path) -> None:
    texts = ["Why?", "水往低处流", "<|im_end|> is text", "🌊" * 9]
    found = estimate(Job(system="Be brief."), [prompts(tmp_path, *texts)])
    expected = sum(
        prompt_tokens(
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": text},
                ]
            },
            QWEN,
        )
        for text in texts
    )
    assert found.models[0].prompt_tokens == Range(expected, expected)
    assert found.models[0].exact
    assert (found.rows, found.requests, found.sample) == (4, 4, None)


def test_the_seed_documents_sample_has_22(tmp_path: Path) -> None:
    found = estimate(Job(system="You are a helpful assistant."), [prompts(tmp_path, "你是誰?")])
    assert found.models[0].prompt_tokens == Range(22, 22)


def test_rows_that_fail_unsent_are_counted_and_cost_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": "hello"}, {"prompt": " "}, {"prompt": "hello"}])
    found = estimate(Job(), [path])
    assert (found.rows, found.requests) == (3, 2)
    assert (found.unsent["empty_prompt"].count, found.unsent["empty_prompt"].row) == (1, 1)


def test_a_dataset_without_anything_to_ask_costs_nothing(tmp_path: Path) -> None:
    found = estimate(Job(), [prompts(tmp_path, "", " ")])
    assert found.requests == 0
    assert found.models[0].money is not None
    assert found.models[0].money.total == Range(0, 0)
    assert found.models[0].time.seconds.low < 10


def test_the_first_rows_alone_are_counted_where_the_job_says_so(tmp_path: Path) -> None:
    found = estimate(Job(first=2), [prompts(tmp_path, "a", "b", "c")])
    assert found.rows == 2


def test_models_stand_side_by_side_with_their_own_prices_and_limits(tmp_path: Path) -> None:
    models = ["qwen-plus", "qwen-max", "qwen3.7-plus", "nobody-knows"]
    found = estimate(Job(), [prompts(tmp_path, "hello " * 500)], models=models)
    plus, dear, later, unknown = found.models
    assert [model.model for model in found.models] == models
    assert plus.money is not None
    assert dear.money is not None
    assert dear.money.input.low == pytest.approx(plus.money.input.low * 4)
    assert dear.time.notes != plus.time.notes
    assert (plus.exact, later.exact) == (True, False)
    assert later.error_share > 0
    assert later.prompt_tokens.low < plus.prompt_tokens.low < later.prompt_tokens.high
    assert unknown.money is None
    assert unknown.to_json()["cost"] is None
    assert any("nobody-knows" in warning for warning in unknown.warnings)


def test_thinking_is_priced_and_told_apart(tmp_path: Path) -> None:
    path = prompts(tmp_path, "hello")
    plain = estimate(Job(params={"max_tokens": 100}), [path]).models[0]
    thinking = {"max_tokens": 100, "enable_thinking": True, "thinking_budget": 900}
    thought = estimate(Job(params=thinking), [path]).models[0]
    assert plain.money is not None
    assert thought.money is not None
    assert plain.reasoning_tokens is None
    assert thought.reasoning_tokens == Range(1, 900)
    assert thought.completion_tokens == Range(2, 1000)
    assert thought.money.output.high == pytest.approx(1000 * 4 / 1e6)
    assert plain.money.output.high == pytest.approx(100 * 1.2 / 1e6)


def test_requests_of_their_own_are_each_priced_as_their_model_and_parameters(
    tmp_path: Path,
) -> None:
    messages = [{"role": "user", "content": "hello"}]
    bodies: list[dict[str, Any]] = [
        {"model": "qwen-flash", "messages": messages, "max_tokens": 10},
        {"model": "qwen-plus", "messages": messages, "max_tokens": 20, "n": 2},
    ]
    path = write(tmp_path, [{"body": body} for body in bodies])
    found = estimate(Job(), [path]).models[0]
    assert found.model == "each row's own"
    assert found.completion_tokens == Range(3, 50)
    assert found.money is not None
    assert found.money.output.high == pytest.approx((10 * 0.4 + 40 * 1.2) / 1e6)
    one = estimate(Job(), [path], models=["qwen-plus"]).models[0]
    assert one.money is not None
    assert one.money.output.high == pytest.approx(50 * 1.2 / 1e6)


def test_a_request_longer_than_the_model_takes_is_told(tmp_path: Path) -> None:
    path = prompts(tmp_path, "hello", "hello " * 255_000)
    found = estimate(Job(model="qwen3-max"), [path])
    assert found.models[0].too_long == 1
    assert found.longest_prompt > 252_000


def test_ones_own_prices_hold_for_every_model(tmp_path: Path) -> None:
    path = prompts(tmp_path, "hello")
    job = Job(base_url="http://127.0.0.1:9/v1", provider="openai-compatible", model="mine")
    assert estimate(job, [path]).models[0].money is None
    found = estimate(job, [path], price_input=1.5, price_output=0, tokenizer="chars").models[0]
    assert found.money is not None
    assert found.money.output == Range(0, 0)
    assert found.money.input.high > 0
    assert found.money.source == "--price-input and --price-output"
    with pytest.raises(JobError, match="--price-output is missing"):
        estimate(job, [path], price_input=1.5)


def test_tools_and_images_make_the_count_an_estimate(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "what is it?"}, image]
    path = write(tmp_path, [{"messages": [{"role": "user", "content": content}]}])
    found = estimate(Job(), [path])
    assert found.inexact == {"images": 1}
    assert not found.models[0].exact


def test_a_missing_vocabulary_says_how_to_get_it_and_what_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.tokens.vocabularies.find_spec", lambda _: None)
    path = prompts(tmp_path, "hello world")
    with pytest.raises(JobError, match=r"pip install 'penstock\[qwen\]'.*--tokenizer chars"):
        estimate(Job(), [path])
    found = estimate(Job(), [path], tokenizer="chars")
    assert not found.models[0].exact
    assert "guess" in found.tokenizer


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_sample_holds_the_whole_in_its_range(tmp_path: Path, kind: str) -> None:
    dice = Random(3)
    texts = ["word " * round(dice.lognormvariate(3, 1)) + "?" for _ in range(9000)]
    path = tmp_path / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"prompt": texts}), path, row_group_size=1000)
    else:
        path.write_text("prompt\n" + "\n".join(texts))
    whole = estimate(Job(), [str(path)]).models[0].prompt_tokens
    found = estimate(Job(), [str(path)], sample=600)
    part = found.models[0].prompt_tokens
    assert (found.rows, found.counted_rows) == (9000, 600)
    assert found.sample == "600 rows, spread evenly"
    assert part.low < whole.low < part.high
    assert part.high / part.low < 1.3


def test_progress_is_told_up_to_the_last_row(tmp_path: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    estimate(
        Job(), [prompts(tmp_path, "a", "b")], on_progress=lambda rows, of: heard.append((rows, of))
    )
    assert heard == [(2, 2)]


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("qwen-plus", {}),
        ("qwen-plus", {"max_tokens": 40}),
        ("qwen-plus", {"enable_thinking": True}),
        ("qwen-flash", {"n": 2}),
    ],
)
def test_the_stand_in_servers_bill_lies_in_the_range(
    tmp_path: Path, model: str, params: dict[str, Any]
) -> None:
    texts = [f"Question {at}: " + "word " * (at % 60) for at in range(300)]
    path = prompts(tmp_path, *texts)

    async def ask() -> Summary:
        settings = simulator.SimulatorSettings(count_tokens=lambda text: QWEN.count([text])[0])
        async with simulator.serve(settings) as server:
            job = Job.build(
                {
                    "model": model, "params": params, "base_url": server.base_url,
                    "region": "singapore", "stream": True,
                    "limits": {"qps": 5000, "concurrency": 50},
                }
            )  # fmt: skip
            return await begin(job, [path], str(tmp_path / "run")).go()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASHSCOPE_API_KEY", "sk-test")
        summary = run_to_end(ask())
    job = Job(model=model, params=params)
    tally = summary.tally
    mean = tally.completion_tokens / 300 / params.get("n", 1)
    measured = estimate(job, [path], output_tokens=f"{mean:.2f}").models[0]
    assert tally.prompt_tokens == measured.prompt_tokens.low == measured.prompt_tokens.high
    for found in (measured, estimate(job, [path]).models[0]):
        assert found.money is not None
        assert tally.cost is not None
        assert found.money.total.low <= tally.cost <= found.money.total.high
    assert measured.money is not None
    assert measured.money.total.high / measured.money.total.low < 1.25


def test_a_sample_of_few_rows_says_so_and_one_of_a_single_row_is_refused(tmp_path: Path) -> None:
    path = prompts(tmp_path, *["word " * at + "?" for at in range(50)])
    few, whole = estimate(Job(), [path], sample=5), estimate(Job(), [path])
    assert (few.sample_small, whole.sample_small) == (True, False)
    assert few.to_json()["sample_small"] is True
    assert few.models[0].prompt_tokens.low < whole.models[0].prompt_tokens.low
    with pytest.raises(JobError, match="--sample 1: one row tells nothing"):
        estimate(Job(), [path], sample=1)
    assert estimate(Job(first=1), [path], sample=1).models[0].exact


def test_ids_that_stand_twice_are_told_where_the_whole_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": f"hello {at}", "id": at % 3} for at in range(4)])
    found = estimate(Job(id_column="id"), [path]).to_json()["double_ids"]
    assert found == {"column": "id", "rows": 1, "first": 3, "like": 0}
    assert estimate(Job(id_column="id"), [path], sample=3).double_ids is None
    assert estimate(Job(id_column="prompt"), [path]).double_ids is None
