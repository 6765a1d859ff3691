from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest

from runner.errors import FailsRow
from runner.estimate.prompt_census import Census, Counting, by_bytes, by_tokenizer
from runner.estimate.prompt_reading import Kind
from runner.records import Request, Row
from runner.tokens import guess_tokens, prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence


class Words:
    """A tokenizer whose tokens are words; remembers what it was asked."""

    name, exact, error_share = "words", True, 0.0

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, texts: Sequence[str]) -> list[int]:
        self.asked += texts
        return [len(text.split()) for text in texts]


def fill(row: Row) -> Request:
    text = row.cells["text"]
    if not text:
        raise FailsRow("empty_prompt", f"row {row.index} is blank")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    body = {"model": row.cells.get("model", "m"), "messages": messages}
    return Request(row.index, orjson.dumps(body), "", body["model"])


def rows_of(*texts: str) -> list[Row]:
    return [Row(at, {"text": text}) for at, text in enumerate(texts)]


def test_every_row_is_a_request_of_some_kind_and_length_or_fails_unsent() -> None:
    words = Words()
    rows = rows_of("a", "", "a b", "a b c", "")
    census = Counting(fill, by_tokenizer(words), [16, 17]).count(rows)
    # 13 tokens of the format and 2 of the system message
    assert {
        bound: (cell.requests, cell.tokens, cell.squares)
        for (_, bound), cell in census.cells.items()
    } == {0: (1, 16, 256), 1: (1, 17, 289), 2: (1, 18, 324)}
    assert (census.rows, census.requests, census.tokens, census.longest) == (5, 3, 51, 18)
    failure = census.unsent["empty_prompt"]
    assert (failure.count, failure.row, failure.message) == (2, 1, "row 1 is blank")


def test_a_text_that_rows_share_is_counted_once() -> None:
    words = Words()
    Counting(fill, by_tokenizer(words), []).count(rows_of("a", "b", "a"))
    assert sorted(words.asked) == ["Be brief.", "a", "b"]


def test_requests_are_told_apart_by_the_model_they_name() -> None:
    rows = [Row(0, {"text": "a", "model": "m"}), Row(1, {"text": "b", "model": "n"})]
    census = Counting(fill, by_tokenizer(Words()), []).count(rows)
    assert {kind for kind, _ in census.cells} == {Kind("m"), Kind("n")}


def test_the_guess_by_bytes_is_the_one_of_the_hot_path() -> None:
    row = rows_of("a question of some length")[0]
    census = Counting(fill, by_bytes, []).count([row])
    assert census.tokens == guess_tokens(fill(row).body)


@pytest.mark.parametrize("seed", range(5))
def test_merged_parts_are_the_whole_in_any_order(seed: int) -> None:
    dice = Random(seed)
    rows = rows_of(*(" ".join("x" * dice.randrange(60)) for _ in range(200)))
    counting = Counting(fill, by_tokenizer(Words()), [20, 30, 40])
    whole = counting.count(rows)
    cuts = sorted(dice.sample(range(200), 4))
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, 200], strict=True)]
    dice.shuffle(parts)
    merged = Census()
    for part in parts:
        merged.merge(counting.count(part))
    assert merged == whole
    bodies = [orjson.loads(fill(row).body) for row in rows if row.cells["text"]]
    assert whole.tokens == sum(prompt_tokens(body, Words()) for body in bodies)


def test_a_weighed_sum_is_the_sum_over_single_requests_and_so_are_its_squares() -> None:
    census = Counting(fill, by_tokenizer(Words()), [16]).count(rows_of("a", "a b", "a b c"))
    weighed = census.weighed(lambda *_: (3.0, 10.0))
    each = [3.0 * tokens + 10.0 for tokens in (16, 17, 18)]
    assert weighed.total == sum(each)
    assert weighed.squares == sum(one * one for one in each)
