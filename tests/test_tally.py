"""Sums over results: exact in any order, and back from their JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_results import any_result, some_failure, some_result

from runner.tally import Tally

if TYPE_CHECKING:
    from runner.records import Result

results = st.lists(any_result(), max_size=12)


def tally_of(*of: Result) -> Tally:
    tally = Tally()
    for result in of:
        tally.add(result)
    return tally


def sums(tally: Tally) -> dict[str, Any]:
    """What does not depend on the order of adding, nor on what was taken back."""
    data = tally.to_json()
    data["failures"] = {kind: found[0] for kind, found in data["failures"].items()}
    data["costs_pico"] = {name: pico for name, pico in data["costs_pico"].items() if pico}
    return data


def test_counts_what_one_answer_and_one_failure_are() -> None:
    tally = tally_of(some_result(3), some_failure(7))
    assert (tally.rows, tally.succeeded, tally.failed) == (2, 1, 1)
    assert (tally.requests, tally.retries, tally.unmetered_attempts) == (4, 2, 1)
    assert (tally.prompt_tokens, tally.completion_tokens, tally.total_tokens) == (22, 18, 40)
    assert (tally.cached_tokens, tally.reasoning_tokens) == (4, 2)
    assert (tally.cost, tally.currency) == (0.000123, "USD")
    assert tally.models == {"qwen-plus": 1}
    assert (tally.failures["timeout"].count, tally.failures["timeout"].row) == (1, 7)


@given(results, st.randoms(use_true_random=False))
def test_the_order_of_adding_does_not_matter(found: list[Result], random: Any) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert sums(tally_of(*found)) == sums(tally_of(*shuffled))


@given(results, results)
def test_merging_is_adding(first: list[Result], second: list[Result]) -> None:
    merged = tally_of(*first)
    merged.merge(tally_of(*second))
    assert sums(merged) == sums(tally_of(*first, *second))


@given(results, results)
def test_what_is_taken_back_leaves_no_trace(kept: list[Result], taken: list[Result]) -> None:
    tally = tally_of(*kept, *taken)
    for result in taken:
        tally.add(result, -1)
    assert sums(tally) == sums(tally_of(*kept))


@given(results)
def test_comes_back_from_its_json(found: list[Result]) -> None:
    tally = tally_of(*found)
    assert Tally.from_json(orjson.loads(orjson.dumps(tally.to_json()))) == tally


@given(st.lists(st.integers(0, 10**14), max_size=200))
def test_money_adds_up_exactly(picos: list[int]) -> None:
    tally = tally_of(*(some_result(cost=pico / 10**12) for pico in picos))
    assert tally.costs_pico.get("USD", 0) == sum(picos)
    assert tally.cost == float(Decimal(sum(picos)) / 10**12)


def test_a_tenth_ten_times_is_one() -> None:
    assert tally_of(*[some_result(cost=0.1)] * 10).cost == 1.0


@pytest.mark.parametrize(
    ("found", "cost", "currency"),
    [
        ([], 0.0, None),
        ([some_failure()], 0.0, None),
        ([some_result(cost=0.0)], 0.0, "USD"),
        ([some_result(cost=None, currency=None)], None, None),
        ([some_result(), some_result(cost=None, currency=None)], None, "USD"),
        ([some_result(), some_result(currency="CNY")], None, None),
        ([some_result(cost=0.0), some_result(currency="CNY", cost=2.5)], 2.5, "CNY"),
        ([some_result(total_tokens=None, cost=None, currency=None)], 0.0, None),
    ],
    ids=["nothing", "unmetered", "free", "no price", "one without", "mixture", "free and paid",
         "no tokens"],
)  # fmt: skip
def test_a_cost_that_is_not_known_is_none(
    found: list[Result], cost: float | None, currency: str | None
) -> None:
    tally = tally_of(*found)
    assert (tally.cost, tally.currency) == (cost, currency)


@pytest.mark.parametrize(
    ("result", "truncated", "empty"),
    [
        (some_result(finish_reason="length"), 1, 0),
        (some_result(finish_reason="length", completion=""), 1, 1),
        (some_result(completion=None), 0, 1),
        (some_result(completion=None, tool_calls="[]"), 0, 0),
        (some_failure(finish_reason="length"), 0, 0),
    ],
)
def test_cut_and_empty_answers_are_counted(result: Result, truncated: int, empty: int) -> None:
    tally = tally_of(result)
    assert (tally.truncated, tally.empty) == (truncated, empty)


def test_the_example_of_a_failure_is_its_first_row() -> None:
    tally = tally_of(some_failure(9), some_failure(2), some_failure(5, "server_error"))
    other = tally_of(some_failure(1, "server_error"))
    tally.merge(other)
    assert {kind: (one.count, one.row) for kind, one in tally.failures.items()} == {
        "timeout": (2, 2),
        "server_error": (2, 1),
    }
    assert tally.failures["timeout"].message == "row 2 failed"


def test_a_model_whose_answers_were_replaced_is_no_part_of_a_mixture() -> None:
    tally = tally_of(some_result(model="a"), some_result(1, model="b"))
    tally.add(some_result(model="a"), -1)
    assert tally.models == {"b": 1}
