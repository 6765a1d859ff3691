"""Does a rehearsal forecast what the limits do to a run?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner import Job, Rehearsal, estimate, rehearse

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 1200
PER_SECOND = 10  # of qwen-plus in Singapore


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rehearsal") / "x.parquet"
    pq.write_table(
        pa.table({"prompt": [f"question {at}: " + "word " * 80 for at in range(ROWS)]}), path
    )
    return str(path)


def rehearsed(dataset: str, *, most_rows: int = 10**6, **settings: Any) -> Rehearsal:
    job = Job.build({"prompt": "{{ prompt }}", **settings})
    found = estimate(job, [dataset], output_tokens="100")
    return rehearse(job, [dataset], found, most_rows=most_rows)


def test_a_run_within_the_limits_is_not_throttled_and_takes_its_pace(dataset: str) -> None:
    found = rehearsed(dataset, limits={"qps": 5})
    assert (found.rows, found.throttled, found.failed, found.stopped) == (ROWS, 0, 0, None)
    assert found.attempts == ROWS
    assert ROWS / 5 < found.seconds < ROWS / 5 * 1.15
    assert {stretch.limited_by for stretch in found.stretches} == {"pace"}
    assert len(found.stretches) == 10
    assert sum(stretch.rows for stretch in found.stretches) == ROWS


def test_a_run_that_asks_for_more_than_the_account_has_is_throttled_down_to_it(
    dataset: str,
) -> None:
    found = rehearsed(dataset, limits={"qps": 30})
    assert found.failed == 0
    assert found.throttled > ROWS / 10
    assert found.attempts == ROWS + found.throttled
    assert found.seconds > ROWS / PER_SECOND  # where arithmetic has a third of it
    assert all(stretch.throttled_share > 0 for stretch in found.stretches)


def test_tokens_bind_where_they_are_scarce(dataset: str) -> None:
    found = rehearsed(dataset, limits={"qps": 10, "tpm": 60_000})
    assert {stretch.limited_by for stretch in found.stretches} == {"tokens"}
    # Within a minute they may come unevenly; over several they may not.
    tokens = sum(one.tokens_per_minute * one.seconds / 60 for one in found.stretches)
    assert 55_000 < tokens / found.seconds * 60 < 61_000
    assert found.throttled == 0


def test_few_workers_bind(dataset: str) -> None:
    found = rehearsed(dataset, limits={"qps": 10, "concurrency": 4})
    assert {stretch.limited_by for stretch in found.stretches[:-1]} == {"workers"}


def test_a_large_budget_holds_nothing_back_and_a_near_one_does(dataset: str) -> None:
    params = {"max_tokens": 1000}
    free = rehearsed(dataset, params=params, limits={"qps": 5})
    assert free.cost is not None
    large, near = (
        rehearsed(dataset, params=params, limits={"qps": 5, "max_cost": f"{free.cost * times:.4f}"})
        for times in (20, 1.5)
    )
    assert (large.stopped, large.rows, large.cost) == (None, ROWS, free.cost)
    assert large.seconds == pytest.approx(free.seconds, rel=0.01)
    # No more than a twentieth of it is ever on its way.
    assert (near.stopped, near.rows, near.cost) == (None, ROWS, free.cost)
    assert near.seconds > free.seconds * 1.2
    assert {stretch.limited_by for stretch in near.stretches} == {"budget"}


def test_a_budget_that_does_not_stops_the_forecast_where_it_would_stop_the_run(
    dataset: str,
) -> None:
    found = rehearsed(dataset, params={"max_tokens": 300}, limits={"qps": 5, "max_cost": "0.05"})
    assert found.stopped is not None
    assert "--max-cost" in found.stopped
    assert found.cost is not None
    assert 0.04 < found.cost <= 0.05
    assert 0 < found.rows < ROWS
    assert found.seconds == found.rehearsed_s  # nothing is made up for the rest
    assert sum(stretch.rows for stretch in found.stretches) == found.rows


def test_rows_that_fail_unsent_stop_it_as_they_would_the_run(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt\n" + 'hello\n" "\n' * 50)
    found = rehearsed(str(path), limits={"qps": 5, "max_failed": "3"})
    assert found.stopped == "4 rows have failed, more than --max-failed 3"
    assert found.rows < 20
    share = rehearsed(str(path), limits={"qps": 5, "max_failed": "10%"})
    assert share.stopped is not None
    assert "more than --max-failed 10%" in share.stopped


def test_the_deadline_is_that_of_the_simulated_clock(dataset: str) -> None:
    found = rehearsed(dataset, limits={"qps": 5, "deadline": "1m"})
    assert found.stopped is not None
    assert "--deadline 1m" in found.stopped
    assert 280 < found.rows < 330
    assert 60 < found.seconds < 75


def test_answers_are_cut_where_the_request_cuts_them(dataset: str) -> None:
    whole = rehearsed(dataset, limits={"qps": 5}, most_rows=300)
    cut = rehearsed(dataset, params={"max_tokens": 50}, limits={"qps": 5}, most_rows=300)
    assert cut.completion_tokens < whole.completion_tokens
    assert cut.completion_tokens <= 50 * ROWS


def test_the_same_rehearsal_goes_the_same_way(dataset: str) -> None:
    one, other = (rehearsed(dataset, limits={"qps": 5}).to_json() for _ in range(2))
    del one["speedup"], other["speedup"]
    assert one == other


def test_a_part_is_scaled_to_the_whole(dataset: str) -> None:
    whole = rehearsed(dataset, limits={"qps": 5})
    part = rehearsed(dataset, limits={"qps": 5}, most_rows=300)
    assert (part.rows, part.of_rows) == (300, ROWS)
    assert part.rehearsed_s < part.seconds
    assert part.seconds == pytest.approx(whole.seconds, rel=0.1)
    assert part.cost == pytest.approx(whole.cost, rel=0.1)
    assert part.prompt_tokens == pytest.approx(whole.prompt_tokens, rel=0.01)
    # qwen-plus in Singapore, in USD of 1,000,000 tokens: the cost is that of the tokens told.
    billed = (part.prompt_tokens * 0.4 + part.completion_tokens * 1.2) / 1e6
    assert part.cost == pytest.approx(billed, rel=1e-4)


def test_the_cost_is_that_of_the_tokens_and_lies_in_the_estimate(dataset: str) -> None:
    job = Job.build({"prompt": "{{ prompt }}", "limits": {"qps": 5}})
    estimated = estimate(job, [dataset], output_tokens="100")
    found = rehearse(job, [dataset], estimated)
    money = estimated.models[0].money
    assert money is not None
    assert found.cost is not None
    assert found.currency == "USD"
    assert found.prompt_tokens == estimated.models[0].prompt_tokens.low
    assert money.total.low < found.cost < money.total.high
    own = rehearse(job, [dataset], estimated, price_input=1.0, price_output=2.0)
    assert own.cost == pytest.approx((own.prompt_tokens + 2 * own.completion_tokens) / 1e6)


def test_it_writes_nothing_and_needs_no_key(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    assert rehearsed(dataset, limits={"qps": 9}, most_rows=50).rows == 50
    assert list(tmp_path.iterdir()) == []
