from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import FailsRow, JobError
from runner.template.render import Rendering, as_text, compile_text, list_columns


def compile_for(text: str, *columns: str) -> Rendering:
    return compile_text(text, flag="-p/--prompt", columns=columns)


def render(template: str, cells: dict[str, Any]) -> str:
    return compile_for(template, *cells).render(cells)


@pytest.mark.parametrize(
    ("template", "cells", "text"),
    [
        ("{{ text }}", {"text": "水 → 水車 🌊"}, "水 → 水車 🌊"),
        ("[{{ text }}]", {"text": None}, "[]"),
        ("[{{ d.name }}]", {"d": {"name": None}}, "[]"),
        ("{{ id }} {{ price }}", {"id": 7, "price": Decimal("1.50")}, "7 1.50"),
        ("{{ tags | join('; ') }}", {"tags": ["a", "b"]}, "a; b"),
        ("{{ raw }}", {"raw": "naïve".encode()}, "naïve"),
        ("<{{ text }}>\n", {"text": "a < b & c"}, "<a < b & c>\n"),
        ("{% for i in range(n) %}{{ i }}{% endfor %}", {"n": 3}, "012"),
        ("{{ 问题 }}", {"问题": "why?"}, "why?"),
        ("{{ range }}", {"range": "a column"}, "a column"),
        ("{{ row }}", {"row": "a column"}, "a column"),
        ("{% for row in tags %}{{ row }}{% endfor %}", {"tags": ["a", "b"]}, "ab"),
        ("{{ row['my column'] }}", {"my column": "x"}, "x"),
        ("{{ row.get('text', '') | upper }}", {"text": "x"}, "X"),
    ],
)
def test_a_template_is_filled_with_python_values(
    template: str, cells: dict[str, Any], text: str
) -> None:
    assert render(template, cells) == text


@given(st.text(alphabet=st.sampled_from("{}%# \n'\"x7*idself")))
def test_template_syntax_inside_data_is_left_as_it_is(data: str) -> None:
    assert (
        render("{{ text }}|{{ d.inner }}", {"text": data, "d": {"inner": data}}) == f"{data}|{data}"
    )


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{{ a }} and {% if b %}{{ a }}{% endif %}", {"a", "b"}),
        ("{{ row['my column'] }} {{ row.a }}", {"my column", "a"}),
        ("{{ row[a] }}", {"a", "b", "my column"}),
        ("{{ row.items() | length }}", {"a", "b", "my column"}),
        ("{% set a = 1 %}{{ a }}", set()),
        ("no column", set()),
    ],
)
def test_only_the_columns_that_a_template_reads_are_asked_for(
    template: str, columns: set[str]
) -> None:
    assert compile_for(template, "a", "b", "my column").columns == columns


def test_a_template_without_columns_is_rendered_once() -> None:
    assert compile_for("{{ 6 * 7 }}!", "text").constant == "42!"
    assert compile_for("{{ text }}", "text").constant is None


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ txt }}", ["no column 'txt'", "did you mean {{ text }}?", "text, my column, id"]),
        ("{{ row['my colum'] }}", ["'my colum'", 'did you mean {{ row["my column"] }}?']),
        ("{{ my column }}", ["line 1", 'is written {{ row["my column"] }}']),
        ("a\nb {% if %}", ["line 2", "b {% if %}", "{% raw %}"]),
        ("{{ text", ["line 1", "unexpected end of template"]),
        ("{{ text | shout }}", ["No filter named 'shout'"]),
        ("Translate {text}", ["{text} would be sent as it stands", "{{ text }}"]),
        ("{% include 'other' %}", ["cannot read other templates"]),
        ("{{ self }}", ['row["self"]']),
        ("{{ 1 / 0 }}", ["division by zero"]),
        ("{{ lipsum() }}", ["no column 'lipsum'"]),
        ("{{ [1, 2] | random }}", ["No filter named 'random'"]),
        ("\udcff", ["not valid UTF-8"]),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ["nested too deeply"]),
    ],
)
def test_a_template_that_no_row_could_fill_is_refused_before_the_run(
    template: str, told: list[str]
) -> None:
    with pytest.raises(JobError) as caught:
        compile_for(template, "text", "my column", "id")
    assert str(caught.value).startswith("-p/--prompt")
    for words in told:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("template", "cells", "told"),
    [
        ("{{ d.zz }}", {"d": {}}, "no attribute 'zz'"),
        ("{{ d.zz.y }}", {"d": {}}, "no attribute 'zz'"),
        ("{{ text.__class__ }}", {"text": "x"}, "unsafe"),
        ("{{ tags.append('x') }}", {"tags": []}, "unsafe"),
        ("{{ row.pop('text') }}", {"text": "x"}, "unsafe"),
        ("{{ range(10 ** n) | list }}", {"n": 9}, "Range too big"),
        ("{{ n + 'x' }}", {"n": 1}, "unsupported operand"),
        ("{{ raw }}", {"raw": b"\xff"}, "utf-8"),
    ],
)
def test_what_goes_wrong_while_filling_fails_the_row(
    template: str, cells: dict[str, Any], told: str
) -> None:
    with pytest.raises(FailsRow, match=told) as caught:
        render(template, cells)
    assert caught.value.error_type == "template"
    assert "-p/--prompt" in caught.value.message


def test_a_row_without_one_of_its_columns_fails() -> None:
    with pytest.raises(FailsRow, match="'text' is undefined"):
        compile_for("{{ text }}", "text").render({})


def test_two_braces_in_a_text_with_single_ones_are_no_mistake() -> None:
    assert (
        render('{{ text }} as {"text": 1} or {text}', {"text": "x"}) == 'x as {"text": 1} or {text}'
    )


def test_a_cell_is_text_as_python_writes_it() -> None:
    assert [as_text(cell) for cell in (None, b"a", 1)] == ["", "a", 1]


def test_of_very_many_columns_the_first_are_listed() -> None:
    assert list_columns(["a", "b"]) == "a, b"
    assert list_columns([]) == "none"
    assert list_columns([f"c{n}" for n in range(45)]).endswith("c39 and 5 more")
