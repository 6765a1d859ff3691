"""Results for tests: one that was made up in full, and any that could come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from runner.records import Result, Unfinished

KEY = "0123456789abcdef" * 2

# Half a surrogate pair has a test of its own: it cannot stay what it is.
texts = st.text(
    st.characters(exclude_categories=["Cs"], include_characters='\x00\x1b\r\n",\\\u2028'),
    max_size=40,
)
_counts = st.none() | st.integers(0, 2**62)
_seconds = st.none() | st.floats(0, 1e6)
_names = st.none() | texts
# Money is a whole number of 1e-12 units of its currency.
_money = st.none() | st.integers(0, 10**15).map(lambda pico: pico / 10**12)


def some_result(row: int = 0, **changes: Any) -> Result:
    """A success with every field filled in that a success has."""
    full = Result(
        row=row,
        key=KEY,
        completion=f"answer {row}",
        reasoning="因为",
        finish_reason="stop",
        model="qwen-plus",
        response_id="c-1",
        created=1_700_000_000,
        prompt_tokens=22,
        completion_tokens=18,
        total_tokens=40,
        cached_tokens=4,
        reasoning_tokens=2,
        cost=0.000123,
        attempts=1,
        latency_s=0.25,
        request_id="r-1",
        currency="USD",
        finished_at=1_700_000_000.125,
    )
    return replace(full, **changes)


def some_failure(row: int = 0, error_type: str = "timeout", **changes: Any) -> Result:
    """A failure after attempts of which one may have been billed."""
    failure = Result(
        row=row,
        key=KEY,
        attempts=3,
        finished_at=1_700_000_001.5,
        error_type=error_type,
        error_message=f"row {row} failed",
        unmetered_attempts=1,
    )
    return replace(failure, **changes)


def some_bill(row: int = 0, **changes: Any) -> Unfinished:
    """What a row has cost after two attempts of which one was metered and one may be billed."""
    bill = Unfinished(
        row=row,
        attempts=2,
        unmetered_attempts=1,
        prompt_tokens=20,
        completion_tokens=8,
        total_tokens=28,
        cached_tokens=2,
        reasoning_tokens=1,
        cost=0.000077,
        currency="USD",
    )
    return replace(bill, **changes)


def any_bill() -> st.SearchStrategy[Unfinished]:
    """Likewise with anything that may stand in it."""
    return st.builds(
        Unfinished,
        row=st.integers(0, 2**40),
        attempts=st.integers(0, 2**31 - 1),
        unmetered_attempts=st.integers(0, 9),
        prompt_tokens=_counts,
        completion_tokens=_counts,
        total_tokens=_counts,
        cached_tokens=_counts,
        reasoning_tokens=_counts,
        cost=_money,
        currency=st.none() | st.sampled_from(["USD", "CNY"]),
    )


def any_result(row: int | None = None) -> st.SearchStrategy[Result]:
    """Every field with anything that may stand in it."""
    return st.builds(
        Result,
        row=st.integers(0, 2**40) if row is None else st.just(row),
        key=st.just("") | st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex),
        completion=_names,
        reasoning=_names,
        tool_calls=_names,
        choices=_names,
        finish_reason=_names | st.just("length"),
        model=_names,
        response_id=_names,
        created=st.none() | st.integers(0, 253_402_300_799),
        prompt_tokens=_counts,
        completion_tokens=_counts,
        total_tokens=_counts,
        cached_tokens=_counts,
        reasoning_tokens=_counts,
        cost=_money,
        attempts=st.integers(0, 2**31 - 1),
        latency_s=_seconds,
        ttft_s=_seconds,
        request_id=_names,
        currency=st.none() | st.sampled_from(["USD", "CNY"]),
        finished_at=st.none() | st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000),
        error_type=_names,
        error_code=_names,
        error_message=_names,
        rejected=_names,
        unmetered_attempts=st.integers(0, 9),
        row_id=st.just("") | st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex),
    )
