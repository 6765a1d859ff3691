from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from runner.dataset import make_rows
from runner.errors import FailsRow
from runner.estimate.prompt_census import Alike, Census, Chunk, Counting, by_bytes, by_tokenizer
from runner.estimate.prompt_reading import Kind
from runner.job import Job
from runner.records import Request, Row
from runner.template import compile_template
from runner.tokens import guess_tokens, load_tokenizer, prompt_tokens

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


SYSTEM = "Be brief."
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
HOSTILE: list[object] = [
    "a b c", "{}", '","role":"user', "<|im_end|>", "e\u0301te\u0301 \ufb01", "水往低处流",
    "😀 👩‍👩‍👧",
    "line\r\nbreak\u2028", "\x00", " x " * 40, "7" * 90, None, 12, b"bytes",
]  # fmt: skip
FAILING: list[object] = ["", "  \n", "\ud83d", b"\xff", ["list"], {"a": 1}]


@pytest.mark.parametrize(
    "prompt", ["{{ text }}", "Say: {{ text }}!", " {{ text }}", "{{ text }}{{ n }}"]
)
@pytest.mark.parametrize("more", [{}, {"system": SYSTEM}, {"params": {"tools": [TOOL], "n": 2}}])
@pytest.mark.parametrize("seed", range(3))
def test_counting_by_column_finds_what_looking_at_each_row_finds(
    prompt: str, more: dict[str, Any], seed: int
) -> None:
    tokenizer = load_tokenizer("qwen")
    template = compile_template(
        Job.build({"prompt": prompt, "model": "m", **more}), ["text", "n"], default_model=None
    )
    assert template.by_column is not None
    alike = Alike(template.by_column.fill, tokenizer)
    counting = Counting(template.fill, by_tokenizer(tokenizer), [14, 20, 60], alike)
    plain = Counting(template.fill, by_tokenizer(tokenizer), [14, 20, 60])
    dice = Random(seed)
    kinds = [HOSTILE, HOSTILE, [*HOSTILE, *FAILING]]
    for turn in range(9):
        texts = dice.choices(kinds[turn % 3], k=8)
        flaws = {3: "no row"} if turn % 4 == 3 else {}
        cells: dict[str, list[Any]] = {
            "text": texts,
            "n": [dice.choice([1, None, "x"]) for _ in texts],
        }
        chunk = Chunk(range(turn * 8, turn * 8 + 8), cells, flaws)
        assert counting.count_chunk(chunk) == plain.count(make_rows(*chunk)), (seed, turn)


def test_by_column_no_request_is_made_but_the_first() -> None:
    template = compile_template(Job(prompt="{{ text }}", model="m"), ["text"], default_model=None)
    assert template.by_column is not None
    made: list[int] = []

    def counted(row: Row) -> Request:
        made.append(row.index)
        return template.fill(row)

    alike = Alike(template.by_column.fill, Words())
    counting = Counting(counted, by_tokenizer(Words()), [], alike)
    for at in range(0, 40, 10):
        counting.count_chunk(Chunk(range(at, at + 10), {"text": ["a b"] * 10}, {}))
    assert set(made) == set(range(10))
