from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from runner.dataset.jsonl_types import ColumnTypes, to_array, unfit


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", None], pa.string()),
        ([1, None, 2**63 - 1], pa.int64()),
        ([1.5, None], pa.float64()),
        ([1, 1.5], pa.float64()),
        ([True, None], pa.bool_()),
        ([None], pa.string()),
        ([1, "a"], pa.string()),
        ([True, 1], pa.string()),
        ([{"a": 1}], pa.string()),
        ([[1]], pa.string()),
        ([2**63], pa.string()),
        ([2**53 + 1, 0.5], pa.string()),
    ],
)
def test_a_column_has_the_type_that_all_its_first_values_fit(
    values: list[Any], kind: pa.DataType
) -> None:
    types = ColumnTypes()
    for value in values:
        types.add({"x": value})
    assert types.found() == {"x": kind}
    array = to_array(values, kind)
    assert array is not None
    assert array.type == kind


def test_columns_stand_in_order_of_appearance() -> None:
    types = ColumnTypes()
    types.add({"b": 1})
    types.add({"c": 1, "a": 1, "b": "x"})
    assert list(types.found()) == ["b", "c", "a"]


def test_text_columns_keep_text_and_take_the_rest_as_json() -> None:
    array = to_array(["5", 5, None, True, {"k": ["é"]}, 1.5], pa.string())
    assert array is not None
    assert array.to_pylist() == ["5", "5", None, "true", '{"k":["é"]}', "1.5"]


@pytest.mark.parametrize(
    ("kind", "fitting", "others"),
    [
        (pa.int64(), [1, None], [1.0, 1.5, True, "1", 2**63, [1]]),
        (pa.float64(), [1, 1.5, None], [True, "1", 2**53 + 1, {}]),
        (pa.bool_(), [True, None], [1, 0.0, "true"]),
    ],
)
def test_a_value_of_another_type_never_slips_in(
    kind: pa.DataType, fitting: list[Any], others: list[Any]
) -> None:
    array = to_array(fitting, kind)
    assert array is not None
    assert array.to_pylist() == fitting
    for other in others:
        assert to_array([*fitting, other], kind) is None
        assert unfit([*fitting, other], kind) == [len(fitting)]
