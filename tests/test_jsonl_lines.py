from __future__ import annotations

import io

import pytest

from runner.dataset import jsonl_lines
from runner.dataset.jsonl_lines import parse, read_lines, show_line


def test_blank_lines_and_the_mark_at_the_beginning_are_left_out() -> None:
    lines = list(read_lines(io.BytesIO(b'\xef\xbb\xbf{"a":1}\r\n\n \t\r\n{"a":2}')))
    assert [(parse(line), line[2]) for line in lines] == [({"a": 1}, 1), ({"a": 2}, 4)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "is not JSON (unexpected end of data"),
        (b"hello", "is not JSON ("),
        (b'{"a": "\xff"}', "is not JSON ("),
        (b'{"a": "\\ud800"}', "is not JSON ("),
        (b'{"a": "\\ud800", "b": NaN}', "is not JSON ("),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"NaN", "is not JSON"),
        (b'"{}"', "is not a JSON object"),
    ],
)
def test_a_line_without_an_object_says_why(text: bytes, why: str) -> None:
    found = parse((True, text, 1))
    assert isinstance(found, str)
    assert found.startswith(why)


def test_pythons_nan_and_infinity_are_read_as_null() -> None:
    line = (True, b'{"a": NaN, "b": [-Infinity, 1], "c": "NaN"}', 1)
    assert parse(line) == {"a": None, "b": [None, 1], "c": "NaN"}


def test_a_line_above_the_limit_is_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_lines, "MAX_LINE_BYTES", 100)
    huge = b'{"a":"' + b"x" * 1000 + b'"}\n'
    lines = list(read_lines(io.BytesIO(b'{"a":1}\n' + huge + b'{"a":2}\n' + huge.strip())))
    assert [line[2] for line in lines] == [1, 2, 3, 4]
    assert [isinstance(parse(line), dict) for line in lines] == [True, False, True, False]
    assert len(lines[1][1]) == 100
    assert str(parse(lines[1])).startswith("is longer than")


def test_an_undecodable_line_is_shown_with_its_bytes() -> None:
    assert show_line((True, b"caf\xe9 \xe4\xbd\xa0\n", 1)) == "caf\\xe9 你"
