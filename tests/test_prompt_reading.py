from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from runner.estimate.prompt_reading import Kind, Prompt, PromptReader
from runner.records import Request
from runner.tokens import inexact_parts, prompt_texts


def request(body: dict[str, Any]) -> Request:
    return Request(0, orjson.dumps(body), "", body["model"])


def ask(text: Any, **more: Any) -> dict[str, Any]:
    system = {"role": "system", "content": "Be brief."}
    return {"model": "m", "messages": [system, {"role": "user", "content": text}], **more}


def read_alone(body: dict[str, Any]) -> Prompt:
    return PromptReader().read(request(body))


def test_a_kind_is_what_the_body_says_beside_its_messages() -> None:
    body = ask("x", enable_thinking=False, max_tokens=7, max_completion_tokens=9, n=2)
    assert read_alone({**body, "thinking_budget": 5}).kind == Kind("m", False, 7, 9, 5, 2)
    assert read_alone(ask("x")).kind == Kind("m")


@pytest.mark.parametrize("odd", ["300", -1, 0, 2.5, True, None, [1]])
def test_a_limit_that_is_no_number_of_tokens_counts_as_none(odd: object) -> None:
    assert read_alone(ask("x", max_tokens=odd, n=odd)).kind == Kind("m")


# Bodies that could be taken for one another by their bytes.
TRICKY = [
    ask("a"),
    ask("b"),
    ask('say "hi"\n'),
    ask('","role":"user'),
    ask("Be brief."),
    ask("你好"),
    ask("a", stop="a"),
    ask("a", max_tokens=5),
    ask([{"type": "text", "text": "a"}]),
    {"model": "m", "messages": [{"role": "user", "content": "a", "name": "b"}]},
    {"model": "m", "messages": [{"role": "user", "content": "a"}] * 2},
    ask("a", tools=[{"type": "function", "function": {"name": "f"}}]),
    {"model": "m", "messages": [{"content": "a", "role": "user"}]},
    {"model": "m", "messages": [{"role": "user", "content": None}]},
    {"model": "m", "messages": []},
    {"model": "other", "messages": [{"role": "user", "content": "a"}]},
]


@pytest.mark.parametrize("seed", range(20))
def test_reading_one_after_the_other_finds_what_parsing_each_finds(seed: int) -> None:
    bodies = [Random(seed).choice(TRICKY), *TRICKY]
    Random(seed).shuffle(bodies)
    reader = PromptReader()
    for body in bodies:
        texts, around = prompt_texts(body)
        found = reader.read(request(body))
        assert (found.texts, found.around, found.inexact) == (texts, around, inexact_parts(body))
        assert found == read_alone(body)


def test_the_text_that_changes_is_found_also_when_others_are_the_same() -> None:
    reader = PromptReader()
    reader.read(request(ask("Be brief.", stop="Be brief.")))
    assert reader.read(request(ask("Long.", stop="Be brief."))).texts == ["Be brief.", "Long."]
