from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import FailsRow, JobError
from runner.job import Job
from runner.records import Request, Row
from runner.template import Template, compile_template, read_value

if TYPE_CHECKING:
    from pathlib import Path

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
PARAMS = st.dictionaries(
    st.sampled_from(["temperature", "stop", "tools", "最大", 'quo"te', "n"]), JSON_VALUES
)
HI = [{"role": "user", "content": "hi"}]


def compile_for(columns: list[str], **settings: Any) -> Template:
    return compile_template(Job.build(settings), columns, default_model="qwen-plus")


def fill(cells: dict[str, Any], **settings: Any) -> Request:
    return compile_for(list(cells), **settings).fill(Row(index=3, cells=cells))


def body(cells: dict[str, Any], **settings: Any) -> Any:
    return orjson.loads(fill(cells, **settings).body)


@given(
    prompt=st.text(min_size=1).filter(lambda text: text.strip()),
    system=st.none() | st.text(),
    params=PARAMS,
    varied=st.booleans(),
)
def test_a_body_is_byte_for_byte_what_encoding_it_whole_gives(
    prompt: str, system: str | None, params: dict[str, Any], *, varied: bool
) -> None:
    cells = {"text": prompt, "role": system}
    template = "{{ role }}" if varied else "{{ " + repr(system) + " }}"
    request = fill(
        cells, prompt="{{ text }}", system=None if system is None else template, params=params
    )
    messages = [{"role": "user", "content": prompt}]
    if system is not None and system.strip():
        messages.insert(0, {"role": "system", "content": system})
    assert request.body == orjson.dumps({"model": "qwen-plus", "messages": messages, **params})


def test_a_request_carries_its_row_its_model_and_a_key_over_its_body() -> None:
    request = fill({"text": "hi"}, prompt="{{ text }}", model="qwen-flash")
    assert (request.row, request.model) == (3, "qwen-flash")
    assert request.key == blake2b(request.body, digest_size=16).hexdigest()
    assert len(request.key) == 32


def test_the_same_question_has_the_same_key_and_another_has_another() -> None:
    keys = {
        fill({"text": text}, prompt="{{ text }}", params=params).key
        for text in ("a", "b", "a")
        for params in ({}, {"seed": 1})
    }
    assert len(keys) == 4


def test_keys_stand_in_one_order_whatever_the_order_of_the_job() -> None:
    cells = {"body": {"temperature": 1, "messages": HI, "model": "m", "n": 2}}
    request = fill(cells, params={"seed": 7, "n": 1})
    assert list(orjson.loads(request.body)) == ["model", "messages", "temperature", "n", "seed"]


@pytest.mark.parametrize(
    ("columns", "settings", "needed", "describe"),
    [
        (["text", "lang"], {"prompt": "{{ text }} {{ lang }}"}, {"text", "lang"}, "lang, text"),
        (["text", "prompt"], {"prompt": "{{ text }}"}, {"text"}, "prompt template over text"),
        (["prompt", "messages"], {}, {"messages"}, "the column messages, sent as it is"),
        (["body", "prompt"], {}, {"prompt"}, "the column prompt, as the user message"),
        (["custom_id", "method", "url", "body"], {}, {"body"}, "the column body, whole requests"),
        (["text"], {"prompt": "hi"}, set(), "no column: every row asks the same"),
        (["prompt", "who"], {"system": "I am {{ who }}"}, {"prompt", "who"}, "message over who"),
        (["prompt"], {"system": "Be brief."}, {"prompt"}, "with a system message"),
    ],
)
def test_it_says_where_the_prompts_come_from_and_which_columns_it_needs(
    columns: list[str], settings: dict[str, Any], needed: set[str], describe: str
) -> None:
    template = compile_for(columns, **settings)
    assert template.columns == needed
    assert template.describe.endswith(describe)


def test_nothing_to_ask_names_the_columns_and_the_three_ways() -> None:
    with pytest.raises(JobError) as caught:
        compile_for(["id", "text"])
    for word in ("id, text", "-p/--prompt", "`messages`", "`prompt`", "`body`"):
        assert word in str(caught.value)


@pytest.mark.parametrize("cell", [None, "", " \n\t", "\u3000"])
def test_a_blank_prompt_fails_its_row(cell: str | None) -> None:
    for cells, settings in (({"prompt": cell}, {}), ({"t": cell}, {"prompt": "{{ t }} "})):
        with pytest.raises(FailsRow, match="blank") as caught:
            fill(cells, **settings)
        assert caught.value.error_type == "empty_prompt"


def test_a_flawed_row_fails_with_its_flaw() -> None:
    with pytest.raises(FailsRow, match="3 cells instead of 2") as caught:
        compile_for(["prompt"]).fill(Row(0, {}, flaw="line 9: 3 cells instead of 2"))
    assert caught.value.error_type == "input"


def test_half_a_character_fails_its_row() -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"prompt": "\ud83d"}, {}),
        ({"prompt": "hi", "who": "\ud83d"}, {"system": "{{ who }}"}),
        ({"messages": [{"role": "user", "content": "\ud83d"}]}, {}),
        ({"body": {"messages": [{"role": "user", "content": "\ud83d"}]}}, {}),
    ]
    for cells, settings in cases:
        with pytest.raises(FailsRow, match="lone surrogate") as caught:
            fill(cells, **settings)
        assert caught.value.error_type == "template"


@pytest.mark.parametrize(("cell", "content"), [("hi", "hi"), (7, "7"), ("é".encode(), "é")])
def test_a_prompt_column_becomes_the_user_message(cell: object, content: str) -> None:
    assert body({"prompt": cell})["messages"] == [{"role": "user", "content": content}]


@pytest.mark.parametrize(("cell", "told"), [(HI, "name it `messages`"), (b"\xff", "not UTF-8")])
def test_a_prompt_column_that_holds_no_text_fails_its_row(cell: object, told: str) -> None:
    with pytest.raises(FailsRow, match=told) as caught:
        fill({"prompt": cell})
    assert caught.value.error_type == "input"


def test_a_blank_system_message_is_left_out() -> None:
    assert len(body({"prompt": "hi"}, system="")["messages"]) == 1
    assert len(body({"prompt": "hi", "who": None}, system="{{ who }}")["messages"]) == 1


def test_messages_are_sent_with_the_jobs_model_and_parameters() -> None:
    assert body({"messages": HI}, params={"seed": 1}) == {
        "model": "qwen-plus",
        "messages": HI,
        "seed": 1,
    }


@pytest.mark.parametrize("cells", [{"messages": HI}, {"body": {"messages": HI}}])
def test_a_system_prompt_is_put_before_messages_without_one(cells: dict[str, Any]) -> None:
    system = {"role": "system", "content": "for zh"}
    sent = body({**cells, "lang": "zh"}, system="for {{ lang }}")
    assert sent["messages"] == [system, *HI]


def test_a_body_brings_its_model_unless_the_job_names_one() -> None:
    own = {"body": {"model": "qwen-flash", "messages": HI}}
    assert fill(own).model == "qwen-flash"
    assert fill(own, model="qwen-max").model == "qwen-max"
    assert fill({"body": {"messages": HI}}).model == "qwen-plus"


def test_the_jobs_parameters_lie_over_those_of_a_body() -> None:
    cells = {"body": {"model": "m", "messages": HI, "temperature": 1, "top_p": 0.5, "stream": True}}
    assert body(cells, params={"temperature": 0}) == {
        "model": "m",
        "messages": HI,
        "temperature": 0,
        "top_p": 0.5,
    }


def test_a_line_of_a_batch_file_works_as_it_is() -> None:
    line = orjson.loads(
        '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":'
        '{"model":"qwen-plus","messages":[{"role":"user","content":"hi"}]}}'
    )
    assert body(line) == line["body"]


def test_a_job_without_any_model_is_refused_and_a_row_without_one_fails() -> None:
    job = Job(prompt="hi")
    with pytest.raises(JobError, match="-m/--model"):
        compile_template(job, ["text"], default_model=None)
    template = compile_template(Job(), ["body"], default_model=None)
    assert template.fill(Row(0, {"body": {"model": "m", "messages": HI}})).model == "m"
    with pytest.raises(FailsRow, match="names no model") as caught:
        template.fill(Row(0, {"body": {"messages": HI}}))
    assert caught.value.error_type == "input"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model", "-m/--model"),
        ("messages", "-p/--prompt"),
        ("stream", "--no-stream"),
        ("stream_options", "usage"),
        ("extra_body", "parameters of their own"),
    ],
)
def test_a_parameter_with_a_place_of_its_own_is_refused(name: str, told: str) -> None:
    with pytest.raises(JobError, match=told) as caught:
        compile_for(["prompt"], params={name: True})
    assert f"--param {name}" in str(caught.value)


def test_a_parameter_that_is_no_json_is_refused() -> None:
    with pytest.raises(JobError, match="--param seed: cannot be sent as JSON"):
        compile_for(["prompt"], params={"seed": 2**64})


def test_a_blank_prompt_template_is_refused() -> None:
    with pytest.raises(JobError, match="nothing to ask"):
        compile_for(["text"], prompt=" \n")


def test_a_faulty_system_template_is_named_by_its_flag() -> None:
    with pytest.raises(JobError, match=r"^-s/--system: the dataset has no column 'txt'"):
        compile_for(["prompt"], system="{{ txt }}")


def test_a_value_is_itself_a_file_or_an_escaped_at_sign(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"\xef\xbb\xbf\xe6\xb0\xb4 {{ text }}\n")
    assert read_value("plain @text") == "plain @text"
    assert read_value(f"@{file}") == "水 {{ text }}\n"
    assert read_value("@@home") == "@home"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("naïve".encode("latin-1"))
    for value, told in (
        (f"@{tmp_path}/none.txt", "there is no file"),
        (f"@{tmp_path}", "cannot be read"),
        (f"@{latin}", r"not UTF-8 text \(byte 2\)"),
        ("@", "names no file"),
        ("@a\0b", "cannot be read"),
    ):
        with pytest.raises(JobError, match=told) as caught:
            read_value(value)
        assert value in str(caught.value)


def own(**sources: str) -> dict[str, Any]:
    return {"from_columns": sources}


@given(
    cells=st.dictionaries(st.sampled_from(["t", "s", "m"]), st.none() | st.text(max_size=6)),
    params=st.dictionaries(st.sampled_from(["temperature", "seed", "最大"]), JSON_VALUES),
    named=st.booleans(),
)
def test_a_body_with_its_own_parameters_is_what_encoding_it_whole_gives(
    cells: dict[str, str | None], params: dict[str, Any], *, named: bool
) -> None:
    sources = {"temperature": "t", "stop": "s"} | ({"model": "m"} if named else {})
    row = dict.fromkeys(["t", "s", "m"]) | cells
    asked = {**params, **own(**sources)}
    model = (named and (row["m"] or "").strip()) or "qwen-plus"
    values: dict[str, Any] = {}
    for name, column in (("temperature", "t"), ("stop", "s")):
        text = (row[column] or "").strip() and row[column]
        try:
            value = orjson.loads(text or "null")
        except orjson.JSONDecodeError:
            value = text
        if value is not None:
            whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
            values[name] = int(value) if whole else value
    by_source: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"text": "hi"}, {"prompt": "{{ text }}"}),
        ({"messages": HI}, {}),
        ({"body": {"model": "qwen-plus", "messages": HI}}, {}),
    ]
    for more, settings in by_source:
        request = fill({**row, **more}, params=asked, **settings)
        assert request.body == orjson.dumps({"model": model, "messages": HI, **params, **values})
        assert request.model == model


def test_the_columns_of_parameters_are_read_and_told() -> None:
    columns = ["text", "temp", "which", "spare"]
    template = compile_for(
        columns, prompt="{{ text }}", params=own(temperature="temp", model="which")
    )
    assert template.columns == {"text", "temp", "which"}
    assert template.describe.endswith("parameters from columns: temperature (temp), model (which)")


def test_an_empty_cell_leaves_the_parameter_out_or_to_what_the_job_says() -> None:
    settings: dict[str, Any] = {"prompt": "hi", "params": {"n": 1, **own(temperature="t", n="k")}}
    assert "temperature" not in body({"t": None, "k": ""}, **settings)
    assert body({"t": "0.5", "k": None}, **settings)["n"] == 1
    assert body({"t": "0.5", "k": "2"}, **settings)["n"] == 2
    assert "from_columns" not in body({"t": "0.5", "k": "2"}, **settings)


def test_a_rows_own_parameters_are_part_of_its_key() -> None:
    params = own(temperature="t", model="m")
    cells = [("0.1", None), ("0.2", None), ("0.1", "qwen-flash"), (0.1, ""), ("0.10", "qwen-plus")]
    keys = [fill({"t": t, "m": m}, prompt="hi", params=params).key for t, m in cells]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3] == keys[4]


def test_a_rows_own_lie_over_a_bodys_and_the_jobs() -> None:
    cells = {"body": {"model": "a", "messages": HI, "temperature": 1, "top_p": 0.5}, "t": 0.1}
    params = {"temperature": 0.7, "seed": 1, **own(temperature="t")}
    assert body(cells, params=params) == {
        "model": "a",
        "messages": HI,
        "temperature": 0.1,
        "top_p": 0.5,
        "seed": 1,
    }


@pytest.mark.parametrize("more", [{"text": "hi"}, {"messages": HI}, {"body": {"messages": HI}}])
def test_a_row_that_the_check_refuses_fails_unsent(more: dict[str, Any]) -> None:
    job = Job.build({"params": {"seed": 1, **own(temperature="t", model="m")}})
    if "text" in more:
        job = job.model_copy(update={"prompt": "{{ text }}"})
    asked: list[tuple[str, dict[str, Any]]] = []

    def check(model: str, params: Any) -> str | None:
        asked.append((model, dict(params)))
        return "temperature: too high" if params["temperature"] > 1 else None

    template = compile_template(job, ["t", "m", *more], default_model="usual", check=check)
    template.fill(Row(0, {"t": 1, "m": None, **more}))
    with pytest.raises(FailsRow, match="too high") as caught:
        template.fill(Row(1, {"t": 5, "m": "other", **more}))
    assert caught.value.error_type == "bad_request"
    assert asked == [
        ("usual", {"seed": 1, "temperature": 1}),
        ("other", {"seed": 1, "temperature": 5}),
    ]


def test_rows_may_be_the_only_ones_to_name_a_model() -> None:
    job = Job.build({"prompt": "hi", "params": own(model="m")})
    template = compile_template(job, ["m"], default_model=None)
    assert template.fill(Row(0, {"m": "mine"})).model == "mine"
    with pytest.raises(FailsRow, match="names no model") as caught:
        template.fill(Row(1, {"m": ""}))
    assert caught.value.error_type == "bad_request"


@pytest.mark.parametrize("name", ["messages", "stream", "extra_body", "from_columns"])
def test_what_is_no_parameter_cannot_come_from_a_column(name: str) -> None:
    with pytest.raises(JobError, match=f"params.from_columns, {name}: "):
        compile_for(["prompt"], params=own(**{name: "prompt"}))


@pytest.mark.parametrize(
    ("columns", "settings", "says"),
    [
        (["t"], {"prompt": "as JSON"}, True),
        (["t"], {"prompt": "hi"}, False),
        (["t"], {"prompt": "hi", "system": "be brief"}, False),
        (["t"], {"prompt": "hi", "system": "{{ t }}"}, None),
        (["t"], {"prompt": "{{ t }}"}, None),
        (["json"], {"prompt": "{{ json }}"}, None),
        (["t"], {"prompt": "{{ t }} in Json"}, True),
        (["prompt"], {}, None),
        (["prompt"], {"system": "Answer in json."}, True),
        (["messages"], {"system": "hi"}, None),
        (["body"], {}, None),
    ],
)
def test_it_knows_whether_its_own_words_mention_json(
    columns: list[str], settings: dict[str, Any], says: bool | None
) -> None:
    assert compile_for(columns, **settings).says_json is says
