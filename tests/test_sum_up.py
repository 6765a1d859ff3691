from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from runner.estimate.prompt_census import Cell, Census
from runner.estimate.prompt_reading import Kind
from runner.estimate.ranges import Range
from runner.estimate.row_sample import Sample
from runner.estimate.sum_up import sum_up, wider_pilot
from runner.estimate.views import Assumptions, View, bounds_of
from runner.job import Job
from runner.preflight import Preflight, prepare
from runner.providers import Price, Tier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def flight(tmp_path: Path) -> Preflight:
    path = tmp_path / "x.csv"
    path.write_text("prompt\nhello\n")
    return prepare(Job(), [str(path)])


def view_of(flight: Preflight, model: str | None = "qwen-plus", error_share: float = 0.0) -> View:
    return View(model, flight.facts_of(model or "qwen-plus"), not error_share, error_share, "qwen")


def census_of(*cells: tuple[Kind, int, Cell]) -> Census:
    census = Census(rows=sum(cell.requests for _, _, cell in cells))
    for kind, bound, cell in cells:
        census.add(kind, bound, cell)
    return census


PLUS = Kind("qwen-plus", max_tokens=100)


def test_a_census_comes_to_tokens_money_and_time_for_each_model(flight: Preflight) -> None:
    census = census_of((PLUS, 0, Cell(10, 1000, 100_000)))
    views = [view_of(flight), view_of(flight, "qwen3.7-plus", 0.25)]
    found = sum_up(flight, census, Sample(10, 10), views, Assumptions(), place=None)
    plus, later = found.models
    assert (found.rows, found.requests, found.sample) == (10, 10, None)
    assert plus.prompt_tokens == Range(1000, 1000)
    assert later.prompt_tokens == Range(750, 1250)
    assert plus.completion_tokens == Range(10, 1000)
    assert plus.output_per_request == Range(1, 100)
    assert plus.money is not None
    assert plus.money.total.high == pytest.approx((1000 * 0.4 + 1000 * 1.2) / 1e6)
    assert plus.region == "singapore"
    assert found.to_json()["models"][0]["cost"]["high"] == pytest.approx(0.0016)


def test_what_the_person_knows_goes_before_the_tables(flight: Preflight) -> None:
    price = Price("EUR", (Tier(None, Decimal(1), Decimal(2), Decimal(2)),))
    census = census_of((PLUS, 0, Cell(10, 1000, 100_000)))
    known = Assumptions(output_tokens=Range(50, 60), price=price, latency_s=3.0)
    [found] = sum_up(flight, census, Sample(10, 10), [view_of(flight)], known, place=None).models
    assert found.money is not None
    assert found.money.currency == "EUR"
    assert found.completion_tokens == Range(500, 600)
    assert found.time.latency == Range(3, 3)


def test_several_answers_to_a_prompt_cost_more_and_take_no_longer(flight: Preflight) -> None:
    def latency(choices: int) -> tuple[float, float]:
        census = census_of((PLUS._replace(choices=choices), 0, Cell(10, 1000, 100_000)))
        view = [view_of(flight)]
        [found] = sum_up(flight, census, Sample(10, 10), view, Assumptions(), place=None).models
        return found.completion_tokens.high, found.time.latency.high

    assert latency(3)[0] == 3 * latency(1)[0]
    assert latency(3)[1] == latency(1)[1]


def test_tiers_are_met_exactly_also_where_counts_are_off(flight: Preflight) -> None:
    bounds = bounds_of([view_of(flight, error_share=0.25)])
    assert {256_000, int(256_000 / 1.25), int(256_000 / 0.75)} <= set(bounds)
    assert list(bounds) == sorted(set(bounds))


def test_unknown_models_among_the_rows_make_the_sum_unknown(flight: Preflight) -> None:
    census = census_of(
        (PLUS, 0, Cell(1, 10, 100)), (Kind("mine", max_tokens=5), 0, Cell(1, 10, 100))
    )
    view = [view_of(flight, None)]
    [found] = sum_up(flight, census, Sample(2, 2), view, Assumptions(), place=None).models
    assert found.model == "each row's own"
    assert found.money is None
    assert found.completion_tokens == Range(2, 105)


@pytest.mark.parametrize(
    ("low", "high", "requests", "rows"),
    [
        (1.0, 2.0, 20_000, None),
        (1.0, 2.1, 20_000, 400),  # 100 * (log 2.1 / log 1.5) ** 2 is 335
        (1.0, 4.0, 20_000, 1200),
        (1.0, 4.0, 2_000, None),  # more than half of them
        (0.0, 4.0, 20_000, None),
        (0.0, 0.0, 20_000, None),
    ],
)
def test_a_range_wider_than_2_to_1_tells_how_many_rows_would_narrow_it(
    low: float, high: float, requests: float, rows: int | None
) -> None:
    assert wider_pilot(Range(low, high), 100, requests) == rows
