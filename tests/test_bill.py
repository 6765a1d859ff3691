"""What a row costs over all its attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_results import KEY, some_failure, some_result

from runner.bill import Bill
from runner.records import Reply, Request, Result, Usage

REQUEST = Request(row=7, body=b"{}", key=KEY, model="qwen-plus")
USAGE = Usage(22, 18, 40, 4, 2)
REPLY = Reply(
    completion="text",
    reasoning="why",
    tool_calls=None,
    choices=None,
    finish_reason="stop",
    model=None,
    response_id="c-1",
    created=1_700_000_000,
    usage=USAGE,
    request_id="r-1",
    latency_s=0.5,
    ttft_s=0.1,
)


def test_an_answer_carries_all_that_was_billed_for_it() -> None:
    bill = Bill("USD", attempts=3, unmetered_attempts=1)
    bill.add(USAGE, 100)
    bill.add(USAGE, 23)
    result = bill.succeeded(REQUEST, REPLY)
    assert (result.row, result.key, result.completion, result.reasoning) == (7, KEY, "text", "why")
    assert (result.prompt_tokens, result.completion_tokens, result.total_tokens) == (44, 36, 80)
    assert (result.cached_tokens, result.reasoning_tokens) == (8, 4)
    assert (result.cost, result.currency) == (123e-12, "USD")
    assert (result.attempts, result.unmetered_attempts) == (3, 1)
    assert (result.latency_s, result.ttft_s, result.request_id) == (0.5, 0.1, "r-1")
    assert result.finished_at is not None
    assert not result.failed


def test_each_field_of_an_answer_stands_in_its_own_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
    bill = Bill("USD", attempts=3, unmetered_attempts=1)
    bill.add(USAGE, 123)
    reply = replace(
        REPLY, tool_calls="[1]", choices="[2]", finish_reason="length", model="own", created=9
    )
    expected = Result(
        row=7, key=KEY, completion="text", reasoning="why", tool_calls="[1]", choices="[2]",
        finish_reason="length", model="own", response_id="c-1", created=9, prompt_tokens=22,
        completion_tokens=18, total_tokens=40, cached_tokens=4, reasoning_tokens=2, cost=123e-12,
        attempts=3, latency_s=0.5, ttft_s=0.1, request_id="r-1", currency="USD",
        finished_at=1_800_000_000.5, unmetered_attempts=1,
    )  # fmt: skip
    assert bill.succeeded(REQUEST, reply) == expected


def test_the_model_asked_for_stands_in_where_the_answer_names_none() -> None:
    assert Bill("USD").succeeded(REQUEST, REPLY).model == "qwen-plus"


def test_one_attempt_without_a_price_makes_the_cost_unknown() -> None:
    bill = Bill("USD")
    bill.add(USAGE, 100)
    bill.add(USAGE, None)
    result = bill.succeeded(REQUEST, REPLY)
    assert (result.cost, result.currency, result.total_tokens) == (None, None, 80)


def test_a_row_that_was_never_billed_has_neither_tokens_nor_cost() -> None:
    result = Bill("USD").failed(7, "", error_type="empty_prompt", message="blank")
    assert (result.total_tokens, result.cost, result.currency, result.attempts) == (
        None, None, None, 0,
    )  # fmt: skip
    assert (result.error_type, result.error_message) == ("empty_prompt", "blank")


def test_what_was_paid_for_and_refused_is_kept() -> None:
    bill = Bill("USD", attempts=1)
    bill.add(USAGE, 100)
    result = bill.failed(7, KEY, error_type="incomplete", message="cut", rejected=REPLY)
    assert (result.rejected, result.completion) == ("text", None)
    assert (result.finish_reason, result.response_id, result.request_id) == ("stop", "c-1", "r-1")
    assert (result.total_tokens, result.cost) == (40, 100e-12)
    assert bill.failed(7, KEY, error_type="x", message="", rejected="<html>").rejected == "<html>"


@pytest.mark.parametrize(
    "before",
    [
        some_result(),
        some_result(attempts=4, unmetered_attempts=2, cost=12.345678901234),
        some_failure(),
        some_failure(total_tokens=40, prompt_tokens=22, completion_tokens=18, cost=0.1,
                     currency="USD", cached_tokens=0, reasoning_tokens=0),
    ],
)  # fmt: skip
def test_a_row_asked_again_brings_its_bill_along(before: Result) -> None:
    bill = Bill.of(before, "USD")
    bill.attempts += 1
    bill.add(USAGE, 500)
    after = bill.succeeded(REQUEST, REPLY)
    assert after.attempts == before.attempts + 1
    assert after.unmetered_attempts == before.unmetered_attempts
    assert after.total_tokens == (before.total_tokens or 0) + 40
    assert after.cost == pytest.approx((before.cost or 0) + 500e-12, abs=1e-15)


@pytest.mark.parametrize(
    "before", [some_result(currency="CNY"), some_result(cost=None, currency=None)]
)
def test_a_bill_in_another_currency_or_of_unknown_price_stays_unknown(before: Result) -> None:
    bill = Bill.of(before, "USD")
    bill.add(USAGE, 500)
    assert bill.cost is None
    assert bill.succeeded(REQUEST, REPLY).currency is None


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
def test_asking_again_and_again_adds_up_exactly(picos: list[int]) -> None:
    result = some_failure()
    for pico in picos:
        bill = Bill.of(result, "USD")
        bill.add(USAGE, pico)
        result = bill.succeeded(REQUEST, REPLY)
    assert result.cost == sum(picos) / 10**12
