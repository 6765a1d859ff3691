from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from small_runs import write_csv
from some_results import some_result

from runner.budget_limits import shown
from runner.budget_notes import budget_notes
from runner.errors import BudgetReached, JobError
from runner.job import Job
from runner.lease import Entry
from runner.preflight import Preflight, prepare
from runner.records import Request
from runner.spending import Position, Spending, round_up
from runner.tally import PICO, Tally

if TYPE_CHECKING:
    from pathlib import Path


def flight(place: Path, **limits: Any) -> Preflight:
    job = Job.build(
        {
            "prompt": "{{ text }}", "model": "qwen-plus", "params": {"max_tokens": 1000},
            "limits": {"concurrency": 50, **limits},
        }
    )  # fmt: skip
    return prepare(job, [write_csv(place / "d.csv")])


def tally(*, usd: float = 0.0, rows: int = 0) -> Tally:
    found = Tally(rows=rows, total_tokens=100 * rows)
    found.costs_pico["USD"] = round(usd * PICO)
    return found


class Opened:
    def __init__(self, place: Path, before: Tally, **limits: Any) -> None:
        self.stops: list[BudgetReached] = []
        self.pending: int | None = 300
        self.lease_file = place / "lease.json"
        self.spending = Spending(
            flight(place, **limits),
            before,
            lease_file=self.lease_file,
            stop=self.stops.append,
            position=lambda: Position(before.rows, self.pending),
        )


def some_request() -> Request:
    return Request(0, b'{"max_tokens": 1000, "messages": []}', "", "qwen-plus")


async def test_at_the_end_it_says_what_is_left_and_what_the_rest_would_take(tmp_path: Path) -> None:
    opened = Opened(tmp_path, tally(usd=0.9995, rows=100), max_cost="1")
    await opened.spending.admit(some_request())
    (stop,) = opened.stops
    assert stop.exit_status == 4
    assert "--max-cost 1.0000 USD: 0.999500 USD spent, 0.000500 USD left" in str(stop)
    assert "0.000500 USD left" in str(stop)
    assert "The 300 rows left would take about 2.9985 USD more" in str(stop)
    assert opened.spending.raise_to == "--max-cost 4"


async def test_while_the_number_of_rows_is_unknown_it_proposes_as_much_again(
    tmp_path: Path,
) -> None:
    opened = Opened(tmp_path, tally(rows=10), max_total_tokens=1000)
    opened.pending = None
    await opened.spending.admit(some_request())
    assert "not known yet" in str(opened.stops[0])
    assert opened.spending.raise_to == "--max-total-tokens 3200"


async def test_what_a_killed_process_had_leased_is_not_spent_again(tmp_path: Path) -> None:
    entry = {"unit": "USD", "most": PICO, "spent": 0, "lost": 0, "leased": 9 * PICO // 10}
    (tmp_path / "lease.json").write_bytes(orjson.dumps({"cost": entry}))
    opened = Opened(tmp_path, tally(usd=0.0999, rows=10), max_cost="1")
    found = opened.spending.to_json()
    assert found is not None
    assert found["cost"]["lost"] == 0.9
    await opened.spending.admit(some_request())
    assert opened.stops


def test_a_lease_is_taken_up_without_a_budget_too(tmp_path: Path) -> None:
    entry = {"unit": "USD", "most": PICO, "spent": 0, "lost": 5, "leased": 10}
    (tmp_path / "lease.json").write_bytes(orjson.dumps({"cost": entry}))
    opened = Opened(tmp_path, tally())
    assert not opened.spending.is_limited
    assert opened.spending.to_json() is None
    kept = orjson.loads(opened.lease_file.read_bytes())["cost"]
    assert Entry(**kept) == Entry("USD", PICO, 0, 15, 0)


def test_rows_that_were_answered_at_an_unknown_price_are_no_zero(tmp_path: Path) -> None:
    before = Tally()
    before.add(some_result(0, cost=None, currency=None))
    with pytest.raises(JobError, match="1 row of this run got an answer while the price was"):
        Opened(tmp_path, before, max_cost="1")
    Opened(tmp_path, before, max_total_tokens=1000)


def test_the_start_says_how_many_may_be_on_their_way_at_once(tmp_path: Path) -> None:
    (note,) = budget_notes(flight(tmp_path, max_cost="0.1"))
    assert note.startswith("budget: 0.100000 USD over the run's life (--max-cost); one request")
    assert "so at most 3 are on the way at once; a lower --param max_tokens" in note
    (note,) = budget_notes(flight(tmp_path, max_cost="1000"))
    assert "at once" not in note
    (note,) = budget_notes(flight(tmp_path, deadline="2h"))
    assert note == "deadline: 2h (--deadline)"


def test_amounts_are_told_in_their_unit() -> None:
    assert shown(1234, "tokens") == "1,234 tokens"
    assert shown(PICO // 1000, "USD") == "0.001000 USD"
    assert shown(1234 * PICO, "USD") == "1,234.00 USD"


@pytest.mark.parametrize(
    ("amount", "rounded"), [(1234, 1300), (1300, 1300), (99, 99), (991, 1000), (1, 1)]
)
def test_what_is_proposed_is_a_round_number_that_is_enough(amount: int, rounded: int) -> None:
    assert round_up(amount) == rounded
