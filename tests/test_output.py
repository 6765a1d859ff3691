"""The output's columns, and results as columns and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_results import any_result, some_failure, some_result

from runner.errors import JobError
from runner.output import assemble, output_schema, result_schema, results_of, slices

if TYPE_CHECKING:
    from runner.records import Result

DOCUMENTED = [
    "row",
    "completion",
    "reasoning",
    "tool_calls",
    "choices",
    "finish_reason",
    "model",
    "response_id",
    "created",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "attempts",
    "latency_s",
    "ttft_s",
    "request_id",
    "currency",
    "finished_at",
    "error_type",
    "error_code",
    "error_message",
    "rejected",
]
INPUTS = pa.table({"id": pa.array([], pa.int32()), "text": pa.array([], pa.string())}).schema


def batch(start: int, stop: int) -> pa.RecordBatch:
    rows = range(start, stop)
    return pa.record_batch([list(rows), [f"text {row}" for row in rows]], schema=INPUTS)


def test_the_columns_are_the_documented_ones_behind_the_inputs() -> None:
    assert output_schema(INPUTS, "").names == ["id", "text", *DOCUMENTED]
    assert output_schema(pa.schema([]), "").names == DOCUMENTED


def test_the_columns_have_the_documented_types() -> None:
    schema = result_schema("")
    whole = {"row", *(name for name in DOCUMENTED if name.endswith("_tokens"))}
    assert {name for name in DOCUMENTED if schema.field(name).type == pa.int64()} == whole
    assert {name for name in DOCUMENTED if schema.field(name).type == pa.float64()} == {
        "cost", "latency_s", "ttft_s",
    }  # fmt: skip
    assert schema.field("attempts").type == pa.int32()
    for name in ("created", "finished_at"):
        assert schema.field(name).type == pa.timestamp("ms", "UTC")


def test_a_prefix_renames_every_output_column_and_no_input() -> None:
    assert output_schema(INPUTS, "plus_").names == [
        "id", "text", *(f"plus_{name}" for name in DOCUMENTED),
    ]  # fmt: skip


def test_a_clash_names_the_columns_and_the_flags() -> None:
    inputs = pa.schema({name: pa.string() for name in ("model", "text", "cost")})
    with pytest.raises(JobError, match="'model', 'cost'") as clash:
        output_schema(inputs, "")
    assert "--prefix" in str(clash.value)
    assert "--keep" in str(clash.value)
    assert output_schema(inputs, "out_").names[:3] == ["model", "text", "cost"]


@pytest.mark.parametrize("prefix", ["", "plus_", "a.b.", '"', "列"])
@given(st.lists(any_result(), max_size=8, unique_by=lambda result: result.row))
def test_results_come_back_from_their_columns(prefix: str, results: list[Result]) -> None:
    table = assemble([], results, result_schema(prefix), prefix)
    keys = [(result.key, result.row_id) for result in results]
    unmetered = {result.row: result.unmetered_attempts for result in results}
    assert list(results_of(table, prefix, keys, unmetered)) == results


def test_what_has_no_column_is_asked_of_the_record() -> None:
    results = [some_result(5, unmetered_attempts=2), some_failure(6, unmetered_attempts=0)]
    table = assemble([], results, result_schema(""), "")
    found = list(results_of(table, "", [("", ""), ("ab" * 16, "cd" * 16)], {5: 2}))
    assert [one.key for one in found] == ["", "ab" * 16]
    assert [one.row_id for one in found] == ["", "cd" * 16]
    assert [one.unmetered_attempts for one in found] == [2, 0]
    with pytest.raises(ValueError, match="zip"):
        list(results_of(table, "", [("only one", "")]))


def test_inputs_and_results_of_the_same_rows_stand_side_by_side() -> None:
    schema = output_schema(INPUTS, "")
    results = [some_result(row) for row in range(2000)]
    table = assemble([batch(0, 1), batch(1, 1500), batch(1500, 2000)], results, schema, "")
    assert table.schema == schema
    assert table["id"].to_pylist() == table["row"].to_pylist() == list(range(2000))
    assert table["text"][1999].as_py() == "text 1999"
    assert table["completion"][1999].as_py() == "answer 1999"


def test_a_failed_row_keeps_its_input_and_has_no_completion() -> None:
    table = assemble([batch(0, 1)], [some_failure(0)], output_schema(INPUTS, ""), "")
    (row,) = table.to_pylist()
    assert (row["text"], row["completion"], row["error_type"]) == ("text 0", None, "timeout")


def test_without_input_columns_the_rows_are_still_there() -> None:
    schema = output_schema(pa.schema([]), "")
    nothing = pa.record_batch([pa.array([None] * 3)], names=["x"]).select([])
    table = assemble([nothing], [some_result(row) for row in range(3)], schema, "")
    assert (table.num_rows, table.schema) == (3, schema)


@pytest.mark.parametrize("inputs", [INPUTS, pa.schema([])])
def test_a_table_of_no_rows_has_all_columns(inputs: pa.Schema) -> None:
    schema = output_schema(inputs, "")
    assert assemble([], [], schema, "") == schema.empty_table()


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 1_700_000_000_000, 2**63 - 1])
def test_a_time_that_no_calendar_knows_becomes_null(seconds: int) -> None:
    table = assemble([], [some_result(created=seconds)], result_schema(""), "")
    assert table["created"].to_pylist() == [None]


@pytest.mark.parametrize(("chars", "rows_each"), [(10, [60]), (1 << 18, [10] * 6)])
def test_a_block_is_written_in_slices_of_its_bytes_and_a_small_one_at_once(
    chars: int, rows_each: list[int]
) -> None:
    text = pa.schema([("text", pa.string())])
    inputs = [pa.record_batch([["x" * chars] * 5], schema=text) for _ in range(12)]
    results = [some_result(row) for row in range(60)]
    schema = output_schema(text, "")
    whole = assemble(inputs, results, schema, "")
    found = list(slices(inputs, whole.drop_columns("text"), schema))
    assert [len(table) for table in found] == rows_each
    assert pa.concat_tables(found) == whole
