"""What the stand-in model says."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.simulator.model import answer_to, choose, prompt_tokens, tokens_by_bytes


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def say(text: str = "Tell me", **params: Any) -> Any:
    body = {"model": "qwen-plus", "messages": user(text), **params}
    return choose(body, index=0, seed=0, count=tokens_by_bytes, thinks=False)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_answer_is_the_same_every_time_and_carries_the_question_s_digest(text: str) -> None:
    answer = answer_to(user(text))
    assert answer == answer_to(user(text))
    assert blake2b(text.encode(), digest_size=6).hexdigest() in answer


def test_ten_thousand_questions_get_ten_thousand_answers() -> None:
    assert len({answer_to(user(f"row {i}")) for i in range(10_000)}) == 10_000


def test_answers_depend_on_seed_system_message_and_role() -> None:
    with_system = [{"role": "system", "content": "Be kind."}, *user("Hello")]
    variants = {answer_to(user("Hello"), seed=seed) for seed in range(3)}
    assert len(variants | {answer_to(with_system)}) == 4


def test_lengths_are_long_tailed_and_some_answers_are_chinese() -> None:
    answers = [answer_to(user(f"row {i}")) for i in range(5_000)]
    lengths = sorted(len(answer) for answer in answers)
    assert lengths[-1] > 8 * lengths[len(lengths) // 2]
    assert any("闸门" in answer for answer in answers)


def test_text_parts_of_an_array_read_like_the_string() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert answer_to([{"role": "user", "content": parts}]) == answer_to(user("Hello"))


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("a" * 47, 10), ("中" * 47, 30)])
def test_a_token_is_4_point_7_bytes(text: str, tokens: int) -> None:
    assert tokens_by_bytes(text) == tokens


def test_prompt_tokens_follow_the_chat_template() -> None:
    body = {"messages": [{"role": "system", "content": "a" * 47}, *user("b" * 47)]}
    assert prompt_tokens(body, tokens_by_bytes) == (10 + 5) + (10 + 5) + 3


def test_max_tokens_cuts_the_answer_and_says_so() -> None:
    whole, cut = say("a long one, please"), say("a long one, please", max_tokens=3)
    assert whole.finish_reason == "stop"
    assert cut.finish_reason == "length"
    assert 0 < cut.answer_tokens <= 3
    assert whole.content.startswith(cut.content)


def test_an_exact_tokenizer_can_stand_in() -> None:
    body = {"model": "m", "messages": user("x"), "max_tokens": 20}
    cut = choose(body, index=0, seed=0, count=len, thinks=False)
    assert len(cut.content) == cut.answer_tokens == 20


@pytest.mark.parametrize("stop", ["] ", ["nowhere", "] "]])
def test_the_answer_ends_before_a_stop_text(stop: object) -> None:
    choice = say("x", stop=stop)
    assert len(choice.content) == 13
    assert choice.finish_reason == "stop"


def test_the_seed_document_s_token_ids_stop_too() -> None:
    whole = next(t for t in (f"row {i}" for i in range(500)) if "我" not in answer_to(user(t)))
    assert say(whole, stop=[[35946, 101243], [108386]]).content == answer_to(user(whole))
    assert say(whole, stop=[35946]).content == answer_to(user(whole))


def test_json_mode_answers_with_an_object() -> None:
    choice = say("json, please", response_format={"type": "json_object"})
    assert json.loads(choice.content) == {"answer": answer_to(user("json, please"))}
