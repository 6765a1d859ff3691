from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from runner.endpoint_prices import Prices
from runner.errors import FailsRow, JobError
from runner.job import Job
from runner.preflight import Preflight, prepare
from runner.records import Request, Row, Usage

if TYPE_CHECKING:
    from pathlib import Path

THOUSAND = Usage(prompt_tokens=1_000, completion_tokens=1_000, total_tokens=2_000)


def prepared(folder: Path, csv: str = "text,t,m\nhi,0.5,\n", **settings: Any) -> Preflight:
    file = folder / "d.csv"
    file.write_text(csv, "utf-8")
    return prepare(Job.build({"prompt": "{{ text }}", **settings}), [str(file)])


def test_parameters_that_the_provider_refuses_are_told_together_with_the_way_out(
    tmp_path: Path,
) -> None:
    params = {"temperature": 3, "stop": ["a", 1]}
    with pytest.raises(JobError) as caught:
        prepared(tmp_path, params=params)
    for word in ("--param", "temperature: 3", "stop: ", "--providers", "[model-studio.rules]"):
        assert word in str(caught.value)


def test_json_mode_without_the_word_is_refused_where_every_row_asks_the_same(
    tmp_path: Path,
) -> None:
    params = {"response_format": {"type": "json_object"}}
    with pytest.raises(JobError, match="wants the word JSON"):
        prepared(tmp_path, prompt="hi", params=params)
    assert "wants the word JSON" in prepared(tmp_path, params=params).warnings[0]
    assert prepared(tmp_path, system="Answer in JSON.", params=params).warnings == ()


def test_what_only_model_studio_refuses_passes_elsewhere(tmp_path: Path) -> None:
    params = {"temperature": 3, "stop": ["a", 1], "top_k": 1}
    flight = prepared(tmp_path, params=params, base_url="http://127.0.0.1:1/v1")
    assert (flight.dashscope, flight.warnings) == (False, ())
    assert "top_k" in flight.notes[0]
    with pytest.raises(JobError, match="temperature: 3"):
        prepared(tmp_path, params=params, base_url="https://x.ap-southeast-1.maas.aliyuncs.com/v1")
    # A proxy, of which the user has said what stands behind it.
    with pytest.raises(JobError, match="temperature: 3"):
        prepared(tmp_path, params=params, base_url="http://127.0.0.1:1/v1", region="beijing")
    behind = prepared(tmp_path, base_url="http://127.0.0.1:1/v1", region="beijing")
    assert behind.dashscope
    assert behind.limits.per_second == 2


@pytest.mark.parametrize("params", [{}, {"max_tokens": 10}])
def test_a_budget_in_another_currency_is_told_before_anything_else(
    tmp_path: Path, params: dict[str, int]
) -> None:
    with pytest.raises(JobError, match=r"--max-cost 5 EUR: the prices of qwen-plus are in USD"):
        prepared(tmp_path, params=params, limits={"max_cost": "5EUR"})


def test_a_model_that_only_streams_is_streamed_and_refused_where_that_is_forbidden(
    tmp_path: Path,
) -> None:
    assert prepared(tmp_path, model="qwq-plus").stream
    with pytest.raises(JobError, match="--stream"):
        prepared(tmp_path, model="qwq-plus", stream=False)
    assert prepared(tmp_path, model="qwen3-8b").stream
    with pytest.raises(JobError, match="enable_thinking=false"):
        prepared(tmp_path, model="qwen3-8b", stream=False)


def test_a_row_that_names_a_model_that_only_streams_fails_naming_the_flag(tmp_path: Path) -> None:
    params = {"from_columns": {"model": "m", "temperature": "t"}}
    flight = prepared(tmp_path, params=params)
    assert "column m (qwen-plus where it is empty)" in flight.notes[0]
    with pytest.raises(FailsRow, match=r"qwq-plus .* --stream") as caught:
        flight.template.fill(Row(0, {"text": "hi", "m": "qwq-plus", "t": None}))
    assert caught.value.error_type == "bad_request"
    with pytest.raises(FailsRow, match="temperature: 7"):
        flight.template.fill(Row(0, {"text": "hi", "m": "qwen-flash", "t": "7"}))
    assert flight.template.fill(Row(0, {"text": "hi", "m": "qwen-flash", "t": "1"})).model


def test_another_job_over_the_same_dataset_is_checked_too(tmp_path: Path) -> None:
    flight = prepared(tmp_path)
    job = Job.build({"prompt": "{{ text }}", "params": {"max_tokens": 9}})
    assert b'"max_tokens":9' in flight.template_for(job).fill(Row(0, {"text": "a"})).body
    with pytest.raises(JobError, match="max_tokens: 0"):
        flight.template_for(Job.build({"prompt": "hi", "params": {"max_tokens": 0}}))


@pytest.mark.parametrize(
    ("params", "body", "thinking"),
    [
        ({}, {}, True),
        ({}, {"enable_thinking": False}, False),
        ({"from_columns": {"enable_thinking": "t"}}, {"enable_thinking": False}, False),
        ({"from_columns": {"enable_thinking": "t"}}, {}, True),
        ({"enable_thinking": False}, {"enable_thinking": False}, False),
        ({}, {"messages": [{"role": "user", "content": '"enable_thinking":false'}]}, True),
    ],
)
def test_a_row_is_billed_by_whether_it_thinks_itself(
    tmp_path: Path, params: dict[str, Any], body: dict[str, Any], *, thinking: bool
) -> None:
    model = "qwen3-8b"  # thinks by default, and thinking costs more
    flight = prepared(tmp_path, model=model)
    prices = Prices(flight.facts_of, model, params)
    request = Request(0, orjson.dumps({"model": model, **body}), "", model)
    usual = Request(0, b"{}", "", model)
    expected = Prices(flight.facts_of, model, {"enable_thinking": thinking})
    cost = prices.cost_pico(request, THOUSAND, reasoned=False)
    assert cost == expected.cost_pico(usual, THOUSAND, reasoned=False)
    other = Prices(flight.facts_of, model, {"enable_thinking": not thinking})
    assert cost != other.cost_pico(usual, THOUSAND, reasoned=False)


def test_each_row_is_billed_by_its_own_model(tmp_path: Path) -> None:
    flight = prepared(tmp_path, params={"from_columns": {"model": "m"}})
    prices = Prices(flight.facts_of, flight.facts.name, flight.job.params)
    costs = {
        prices.cost_pico(
            flight.template.fill(Row(0, {"text": "hi", "m": model})), THOUSAND, reasoned=False
        )
        for model in (None, "qwen-plus", "qwen-flash", "qwen-max")
    }
    assert len(costs) == 3


def test_a_price_that_is_unknown_or_in_another_currency_is_unknown_not_nothing(
    tmp_path: Path,
) -> None:
    flight = prepared(tmp_path)
    prices = Prices(flight.facts_of, "qwen-plus", {})
    assert prices.currency == "USD"
    unpriced = Request(0, b"{}", "", "a-model-of-tomorrow")
    assert prices.cost_pico(unpriced, THOUSAND, reasoned=False) is None
    nobody_s = Prices(flight.facts_of, "a-model-of-tomorrow", {})
    assert nobody_s.currency is None
    assert nobody_s.cost_pico(Request(0, b"{}", "", "qwen-plus"), THOUSAND, reasoned=False) is None


def test_thinking_that_shows_in_the_reply_is_billed_as_thinking(tmp_path: Path) -> None:
    flight = prepared(tmp_path)
    prices = Prices(flight.facts_of, "qwen-plus", {})
    request = Request(0, b"{}", "", "qwen-plus")
    plain = prices.cost_pico(request, THOUSAND, reasoned=False)
    thought = prices.cost_pico(request, THOUSAND, reasoned=True)
    assert plain is not None
    assert thought is not None
    assert thought > plain


def test_columns_to_keep_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"--keep nosuch,neither: .* text, t, m"):
        prepared(tmp_path, keep=("text", "nosuch", "neither"))


@pytest.mark.parametrize(
    ("keep", "kept"), [(None, ["text", "t", "m"]), (("m", "text", "m"), ["m", "text"]), ((), [])]
)
def test_the_output_keeps_the_columns_that_were_asked_for(
    tmp_path: Path, keep: tuple[str, ...] | None, kept: list[str]
) -> None:
    assert prepared(tmp_path, keep=keep).inputs.names == kept


def test_an_id_column_has_to_exist_and_is_custom_id_in_a_batch_file(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"--id-column nosuch: .* text, t, m"):
        prepared(tmp_path, id_column="nosuch")
    assert prepared(tmp_path, id_column="t").job.id_column == "t"
    assert prepared(tmp_path).job.id_column is None
    body = {"messages": [{"role": "user", "content": "hi"}]}
    line = orjson.dumps({"custom_id": "a", "body": body}) + b"\n"
    (tmp_path / "batch.jsonl").write_bytes(line)
    assert prepare(Job(), [str(tmp_path / "batch.jsonl")]).job.id_column == "custom_id"


@pytest.mark.parametrize(
    ("total_rows", "first", "end", "rows"),
    [
        (100, None, 100, 100),
        (100, 5, 5, 5),
        (100, 500, 100, 100),
        (None, None, None, None),
        # the scope ends at 5 at the latest, and perhaps the dataset does before
        (None, 5, 5, None),
    ],
)
def test_the_scope_ends_with_the_dataset_or_with_first(
    tmp_path: Path, total_rows: int | None, first: int | None, end: int | None, rows: int | None
) -> None:
    flight = replace(prepared(tmp_path, first=first), total_rows=total_rows)
    assert (flight.end, flight.rows) == (end, rows)


def test_a_column_s_name_that_the_output_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="--prefix"):
        prepared(tmp_path, "text,completion\nhi,there\n")
    assert prepared(tmp_path, "text,completion\nhi,there\n", prefix="new_").inputs.names
