from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import FailsRow
from runner.job import Job
from runner.records import Row
from runner.template import Template, compile_template

CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "\n", "{}", "{0}", "{{ a }}", "\ud800", "<|im_end|>", "e\u0301", "a\x00b", None]
    ),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(max_size=4),
    st.decimals(),
    st.dates(),
    st.lists(st.integers(), max_size=2),
)
TEMPLATES = [
    "{{ a }}",
    "Q: {{ a }}\n",
    " {{ a }}{{ a }}",
    "{{ a }}{{ b }}",
    "{ {{ b }} } {{ a }} {}",
    "\r\n{{ row['a'] }}{# nothing #}{{- b }}",
    "{% raw %}{{ a }}{% endraw %}{{ a }}",
]


def compiled(prompt: str | None, *columns: str, **settings: Any) -> Template:
    job = Job(prompt=prompt, model="m", **settings)
    return compile_template(job, columns, default_model=None)


def one_by_one(template: Template, cells: dict[str, list[Any]]) -> list[str] | None:
    """The prompts in the requests that the template itself makes; None where a row fails."""
    texts = []
    for index, values in enumerate(zip(*cells.values(), strict=True)):
        try:
            request = template.fill(Row(index, dict(zip(cells, values, strict=True))))
        except FailsRow:
            return None
        texts.append(orjson.loads(request.body)["messages"][-1]["content"])
    return texts


@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), at=st.sampled_from(TEMPLATES)
)
def test_texts_by_column_are_those_of_the_requests(rows: list[tuple[Any, Any]], at: str) -> None:
    template = compiled(at, "a", "b")
    cells = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    assert template.by_column is not None
    texts = template.by_column.fill(cells)
    expected = one_by_one(template, cells)
    if expected is None:
        assert texts is None  # a row that fails is left to the template
    elif not any(isinstance(cell, list) for row in rows for cell in row):
        assert texts == expected


@given(cells=st.lists(CELLS, min_size=1, max_size=6))
def test_the_prompt_column_is_filled_likewise(cells: list[Any]) -> None:
    template = compiled(None, "prompt")
    assert template.by_column is not None
    expected = one_by_one(template, {"prompt": cells})
    assert template.by_column.fill({"prompt": cells}) == expected


def test_cells_of_every_kind_read_as_the_template_writes_them() -> None:
    cells: list[Any] = [
        "x",
        None,
        7,
        0.1,
        True,
        b"bytes",
        Decimal("1.50"),
        dt.date(2026, 1, 2),
    ]
    by_column = compiled("<{{ a }}>", "a").by_column
    assert by_column is not None
    assert by_column.fill({"a": cells}) == [
        "<x>", "<>", "<7>", "<0.1>", "<True>", "<bytes>", "<1.50>", "<2026-01-02>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "settings"),
    [
        ("{{ a | upper }}", {}),
        ("{{ a.x }}", {}),
        ("{{ a ~ b }}", {}),
        ("{{ row[b] }}", {}),
        ("{% if a %}{{ a }}{% endif %}", {}),
        ("{% set a = 'x' %}{{ a }}", {}),
        ("no column", {}),
        ("{{ a }}", {"system": "about {{ b }}"}),
        ("{{ a }}", {"params": {"from_columns": {"seed": "b"}}}),
    ],
)
def test_what_is_not_plain_is_left_to_the_template(prompt: str, settings: dict[str, Any]) -> None:
    job = Job.build({"prompt": prompt, "model": "m", **settings})
    assert compile_template(job, ["a", "b"], default_model=None).by_column is None
