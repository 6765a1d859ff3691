from __future__ import annotations

from typing import Any

import orjson
import pytest

from runner.errors import FailsRow
from runner.template.messages import read_messages, read_request, with_system

SAY_HI = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}


def test_messages_are_read_from_structs_and_from_json_text_alike() -> None:
    messages = [{"role": "system", "content": "Be brief."}, SAY_HI]
    assert read_messages(messages, "messages") == messages
    assert read_messages(orjson.dumps(messages).decode(), "messages") == messages
    assert read_messages(orjson.dumps(messages), "messages") == messages


def test_null_struct_fields_are_dropped_however_deep() -> None:
    part = {"type": "text", "text": "hi", "image_url": None}
    typed = [{"role": "user", "content": [part], "name": None, "tool_calls": None}]
    assert read_messages(typed, "messages") == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    ]


def test_null_content_stays_beside_tool_calls() -> None:
    typed = [SAY_HI, {"role": "assistant", "content": None, "tool_calls": [CALL], "name": None}]
    assert read_messages(typed, "messages")[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL],
    }


def test_json_text_is_sent_as_it_is_with_its_nulls() -> None:
    text = '[{"role":"user","content":"hi"},{"role":"assistant","content":"","tool_calls":null}]'
    assert orjson.dumps(read_messages(text, "messages")).decode() == text


@pytest.mark.parametrize(
    "cell",
    [
        None,
        "",
        "  ",
        "null",
        [],
        [{"role": "user", "content": " \n"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "text", "text": " "}]}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ""}],
    ],
)
def test_a_row_that_asks_nothing_is_an_empty_prompt(cell: object) -> None:
    with pytest.raises(FailsRow, match="the column messages") as caught:
        read_messages(cell, "messages")
    assert caught.value.error_type == "empty_prompt"


def test_an_image_alone_is_a_question() -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    assert read_messages(image, "messages") == image


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("hello", "not JSON"),
        ("{}", "holds an object"),
        ([1], r"messages\[0\] is a number"),
        ([{"from": "human", "value": "x"}], r"messages\[0\] has no role; its fields: from, value"),
        ([SAY_HI, {"role": "user", "content": 5}], r"messages\[1\]\.content is a number"),
    ],
)
def test_a_cell_that_holds_no_messages_fails_as_input(cell: object, told: str) -> None:
    with pytest.raises(FailsRow, match=told) as caught:
        read_messages(cell, "messages")
    assert caught.value.error_type == "input"


def test_a_request_loses_only_its_streaming_keys() -> None:
    body = {"model": "m", "messages": [SAY_HI], "n": 2, "stream": True, "stream_options": {}}
    asked = {"model": "m", "messages": [SAY_HI], "n": 2}
    assert read_request(body, "body") == asked
    assert read_request(orjson.dumps(body).decode(), "body") == asked


def test_null_fields_of_a_request_go_in_structs_and_stay_in_text() -> None:
    text = '{"messages":[{"role":"user","content":"hi","name":null}],"stop":null}'
    typed: dict[str, Any] = orjson.loads(text)
    assert read_request(typed, "body") == {"messages": [SAY_HI]}
    assert read_request(text, "body") == orjson.loads(text)


@pytest.mark.parametrize(
    ("cell", "error_type", "told"),
    [
        (None, "empty_prompt", "empty in this row"),
        ("[]", "input", "holds a list; an object is needed"),
        ({"input": "x"}, "input", "only chat completions"),
        ({"messages": "hi"}, "input", "body.messages holds text"),
        ({"messages": []}, "empty_prompt", "body.messages has no text"),
    ],
)
def test_a_cell_that_holds_no_request_fails_its_row(
    cell: object, error_type: str, told: str
) -> None:
    with pytest.raises(FailsRow, match=told) as caught:
        read_request(cell, "body")
    assert caught.value.error_type == error_type


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_message_of_the_row_goes_before_the_jobs(role: str) -> None:
    own = [{"role": role, "content": "own"}, SAY_HI]
    assert with_system(own, "the job's") == own
    assert with_system([SAY_HI], "the job's") == [
        {"role": "system", "content": "the job's"},
        SAY_HI,
    ]
    assert with_system([SAY_HI], " ") == [SAY_HI]
