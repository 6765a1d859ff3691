from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from runner.errors import FailsRow, JobError
from runner.template.row_params import RowParams, compile_row_params

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(cell: object, name: str = "temperature") -> dict[str, Any]:
    return RowParams({name: "c"}, {}, None).values({"c": cell})


@pytest.mark.parametrize("cell", [None, "", " \t", "null", b"", float("nan"), Decimal("NaN")])
def test_an_empty_cell_brings_nothing(cell: object) -> None:
    assert read(cell) == {}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (0.2, 0.2),
        ("0.2", 0.2),
        ("256", 256),
        (256.0, 256),
        ("256.0", 256),
        (Decimal("0.50"), 0.5),
        (Decimal(3), 3),
        (True, True),
        ("true", True),
        ("hot", "hot"),
        ('"5"', "5"),
        ("007", "007"),
        (b"0.5", 0.5),
        ('["a", null]', ["a", None]),
        (["a", "b"], ["a", "b"]),
        ('{"type": "json_object", "x": null}', {"type": "json_object", "x": None}),
        ({"type": "json_object", "json_schema": None}, {"type": "json_object"}),
        (2**63, 2**63),
    ],
)
def test_text_is_read_as_json_or_else_as_text_and_other_cells_are_the_value(
    cell: object, value: object
) -> None:
    found = read(cell)["temperature"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("cell", [float("inf"), Decimal("-Infinity"), b"\xff"])
def test_a_cell_that_json_cannot_write_fails_its_row(cell: object) -> None:
    with pytest.raises(FailsRow, match=r"temperature \(column c\)") as caught:
        read(cell)
    assert caught.value.error_type == "bad_request"


def test_a_value_that_json_cannot_write_fails_its_row() -> None:
    row = RowParams({"a": "c"}, {}, None)
    with pytest.raises(FailsRow, match="written as JSON") as caught:
        row.tail("m", row.values({"c": "\ud83d"}))
    assert caught.value.error_type == "bad_request"


@pytest.mark.parametrize(
    ("fixed", "values"),
    [
        ({}, {}),
        ({}, {"a": 1}),
        ({"b": [1]}, {}),
        ({"b": [1]}, {"a": 1}),
        ({"a": 0, "b": 2}, {"a": 1}),
        ({"a": 0, "b": 2}, {}),
    ],
)
def test_the_end_of_a_body_holds_the_jobs_parameters_and_the_rows_over_them(
    fixed: dict[str, Any], values: dict[str, Any]
) -> None:
    tail = RowParams({"a": "c"}, fixed, None).tail("m", values)
    assert b'{"model":1' + tail == orjson.dumps({"model": 1, **fixed, **values})


def test_a_model_is_a_name_and_blank_is_none() -> None:
    row = RowParams({"model": "m"}, {}, None)
    assert row.model({"m": " qwen-flash "}) == "qwen-flash"
    assert row.model({"m": None}) is row.model({"m": "  "}) is None
    assert row.values({"m": "qwen-flash"}) == {}
    with pytest.raises(FailsRow, match="no model's name"):
        row.model({"m": 5})


def test_each_combination_is_judged_once_and_refused_every_time() -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def check(model: str, params: Mapping[str, Any]) -> str | None:
        asked.append((model, params))
        return "too hot" if params["t"] > 1 else None

    row = RowParams({"t": "c"}, {"n": 1}, check)
    for value in (1, 2, 1, 2, 2):
        if value == 1:
            row.tail("m", {"t": value})
            continue
        with pytest.raises(FailsRow, match="too hot") as caught:
            row.tail("m", {"t": value})
        assert caught.value.error_type == "bad_request"
    row.tail("other", {"t": 1})
    assert asked == [("m", {"n": 1, "t": 1}), ("m", {"n": 1, "t": 2}), ("other", {"n": 1, "t": 1})]


def test_what_was_judged_is_remembered_in_bounded_memory() -> None:
    row = RowParams({"t": "c"}, {}, lambda _model, _params: None)
    for value in range(10_000):
        row.tail("m", {"t": value})
    assert len(row._judged) <= 4096


def test_a_column_that_the_dataset_does_not_have_is_named() -> None:
    assert compile_row_params({}, {}, ["a"], None) is None
    with pytest.raises(JobError) as caught:
        compile_row_params({"seed": "sed", "n": "a", "top_p": "b"}, {}, ["a", "text"], None)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("params.from_columns, seed: the dataset has no column 'sed'")
    assert "a, text" in lines[0]
    assert lines[1].startswith("params.from_columns, top_p:")
