from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.dataset import open_dataset
from runner.dataset.batches import MAX_BYTES
from runner.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from runner.dataset import Batch

ALL = [range(sys.maxsize)]
LONG = "".join(f'{{"n": {n}, "text": "{"x" * 100}"}}\n' for n in range(10_000))  # over a megabyte


def schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


def write(path: Path, content: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return str(path)


def lines(*items: Any) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def read(paths: list[str], keep: list[str] | None = None, spans: Any = ALL) -> list[Batch]:
    dataset = open_dataset(paths)
    names = dataset.schema.names
    kept = names if keep is None else keep
    return list(dataset.batches(columns=names, keep=kept, spans=spans))


def test_cells_are_the_values_and_inputs_are_typed(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"id": 7, "score": 1, "ok": True, "text": "007", "messages": [{"role": "user"}]},
        {"id": None, "score": 0.5, "mixed": 1},
        {"mixed": "a"},
    ]
    path = write(tmp_path / "x.jsonl", lines(*items))
    (batch,) = read([path])
    assert batch.inputs.schema == schema(
        id=pa.int64(),
        score=pa.float64(),
        ok=pa.bool_(),
        text=pa.string(),
        messages=pa.string(),
        mixed=pa.string(),
    )
    names = batch.inputs.schema.names
    assert [row.cells for row in batch.rows] == [
        {name: item.get(name) for name in names} for item in items
    ]
    assert batch.inputs["messages"].to_pylist() == ['[{"role":"user"}]', None, None]
    assert batch.inputs["mixed"].to_pylist() == [None, "1", "a"]


def test_an_openai_batch_file_keeps_its_bodies(tmp_path: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "你好"}]}
    path = write(tmp_path / "x.jsonl", lines({"custom_id": "a", "method": "POST", "body": body}))
    (batch,) = read([path])
    assert batch.rows[0].cells["body"] == body
    assert json.loads(str(batch.inputs["body"].to_pylist()[0])) == body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"x\.jsonl: the dataset has no rows"),
        ("\n \n", "the dataset has no rows"),
        ("{}\n{}\n", "its objects are empty"),
        ('{"a":1}\n{"a":\n', r"line 2 of .*x\.jsonl is not JSON .*: \{\"a\":\n.*one JSON object a"),
        ('[{"a":1}]\n', "line 1 of .* is not a JSON object"),
    ],
)
def test_a_flaw_near_the_beginning_is_refused_and_told(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset([write(tmp_path / "x.jsonl", content)])


def test_later_flaws_stay_in_their_place_with_the_raw_line(tmp_path: Path) -> None:
    tail = '{"n": 1, "new": 2}\n[1]\n\n{"n": "one", "text": "a"}\n{"n": 1.5}\n{"text": {"k": 1}}\n'
    path = write(tmp_path / "x.jsonl", LONG + tail)
    batches = read([path], spans=[range(10_000, sys.maxsize)])
    (batch,) = batches
    assert [row.index for row in batch.rows] == list(range(10_000, 10_005))
    no_int = (
        "has no int64 in column 'n', as the file's beginning has; change the value, or leave the "
        "column out with --keep"
    )
    assert [row.flaw for row in batch.rows] == [
        None,
        f"line 10002 of {path} is not a JSON object: [1]",
        f'line 10004 of {path} {no_int}: {{"n": "one", "text": "a"}}',
        f'line 10005 of {path} {no_int}: {{"n": 1.5}}',
        None,
    ]
    assert batch.rows[0].cells == {"n": 1, "text": None}
    assert batch.rows[2].cells == {"n": "", "text": ""}
    assert batch.rows[4].cells == {"n": None, "text": {"k": 1}}
    assert batch.inputs.to_pylist() == [
        {"n": 1, "text": None},
        {"n": None, "text": None},
        {"n": None, "text": None},
        {"n": None, "text": None},
        {"n": None, "text": '{"k":1}'},
    ]


def test_a_value_of_another_type_is_welcome_in_a_column_that_is_not_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", LONG + '{"n": "one"}\n')
    (batch,) = read([path], keep=["text"], spans=[range(10_000, 10_001)])
    assert (batch.rows[0].flaw, batch.rows[0].cells["n"]) == (None, "one")


def test_columns_of_later_files_are_seen_at_their_beginnings(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines({"a": 1}))
    write(tmp_path / "2.ndjson", lines({"a": 0.5, "b": "x"}))
    batches = read([str(tmp_path)])
    assert batches[0].inputs.schema == schema(a=pa.float64(), b=pa.string())
    assert [row.cells for batch in batches for row in batch.rows] == [
        {"a": 1, "b": None},
        {"a": 0.5, "b": "x"},
    ]


def test_spans_are_met_exactly(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", LONG)
    spans = [range(1, 2), range(5, 2000), range(9_999, sys.maxsize)]
    batches = read([path], spans=spans)
    wanted = [at for at in range(10_000) if any(at in span for span in spans)]
    assert [row.index for batch in batches for row in batch.rows] == wanted
    assert [row.cells["n"] for batch in batches for row in batch.rows] == wanted
    for batch in batches:
        assert batch.rows[-1].index - batch.start == len(batch.rows) - 1


def test_batches_stay_near_a_megabyte_and_a_huge_row_stands_alone(tmp_path: Path) -> None:
    texts = ["x" * 3000] * 1000 + ["y" * 5_000_000] + ["z"] * 2000
    batches = read([write(tmp_path / "x.jsonl", lines(*({"t": text} for text in texts)))])
    assert [row.cells["t"] for batch in batches for row in batch.rows] == texts
    assert [len(batch.rows) for batch in batches if batch.inputs.nbytes > MAX_BYTES] == [1]


def test_folders_give_their_value_to_each_row(tmp_path: Path) -> None:
    write(tmp_path / "lang=en" / "x.jsonl", lines({"t": "hi"}))
    write(tmp_path / "lang=zh" / "x.jsonl", lines({"t": "ni"}))
    batches = read([str(tmp_path)])
    assert [row.cells for batch in batches for row in batch.rows] == [
        {"t": "hi", "lang": "en"},
        {"t": "ni", "lang": "zh"},
    ]
    assert batches[1].inputs["lang"].to_pylist() == ["zh"]


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.fixed_dictionaries({"a": VALUE}, optional={"b": VALUE}), min_size=1))
def test_any_json_value_comes_back_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]
) -> None:
    path = write(tmp_path_factory.mktemp("json") / "x.jsonl", lines(*items))
    batches = read([path])
    assert all(row.flaw is None for batch in batches for row in batch.rows)
    found = [row.cells for batch in batches for row in batch.rows]
    assert [cell["a"] for cell in found] == [item["a"] for item in items]
    assert [cell.get("b") for cell in found] == [item.get("b") for item in items]
