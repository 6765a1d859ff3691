from __future__ import annotations

import math
import runpy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from runner.estimate.cost_forecast import Billing
from runner.estimate.measured import Answer, Measured
from runner.estimate.measured_bill import MeasuredBill, bill_by, latency_of
from runner.estimate.output_length import output_length
from runner.estimate.prompt_census import Cell, Census
from runner.estimate.prompt_reading import Kind
from runner.estimate.ranges import Range
from runner.estimate.row_sample import Sample
from runner.providers import Price, Tier
from runner.records import Usage
from runner.tally import Tally

KIND = Kind("m")
PRICE = Price("USD", (Tier(None, Decimal(1), Decimal(2), Decimal(4)),), cached_share=Decimal("0.2"))
TRIALS = Path(__file__).parent.parent / "benchmarks" / "pilot_trials.py"


def answer(
    counted: int = 100, *, prompt: int = 100, out: int = 50, cached: int = 0, thought: int = 0
) -> Answer:
    usage = Usage(prompt, out, prompt + out, cached, thought)
    return Answer(KIND, counted, usage, None, 2.0)


def measured(*answers: Answer, pilot: bool = True, of_dataset: bool = True) -> Measured:
    size = len(answers)
    tally = Tally(rows=size, requests=size, costs_pico={"USD": 10**11})
    rows = (range(size),)
    return Measured("run", "m", answers, tally, rows, of_dataset, pilot, rehearsal=False)


def bill(
    found: Measured, *, rows: int = 1000, error_share: float = 0.0, price: Price = PRICE
) -> MeasuredBill:
    census = Census(rows=rows)
    census.add(KIND, 0, Cell(rows, 100 * rows, 10_000 * rows))
    output = output_length(KIND, thinks=False, given=None)
    bills = {KIND: Billing(price, "m", thinking=False, output=output)}
    return bill_by(
        found, census, Sample(rows, rows), bills, as_billed=False, error_share=error_share
    )


def test_prompts_are_priced_as_counted_and_answers_as_measured() -> None:
    found = bill(measured(*[answer()] * 50))
    assert found.prompt == Range(100_000, 100_000)
    assert (found.completion.low, found.completion.high) == pytest.approx((50_000, 50_000))
    assert found.reasoning is None
    assert found.money is not None
    assert found.money.input.low == found.money.input.high == pytest.approx(0.1)
    assert found.money.output.high == pytest.approx(0.1)
    assert found.money.total.low == pytest.approx(0.2)


def test_answers_of_a_rehearsal_are_no_part_of_the_run_that_is_estimated() -> None:
    rehearsal = replace(measured(*[answer()] * 100), rehearsal=True)
    assert (rehearsal.done, rehearsal.is_part) == (0, False)
    assert rehearsal.to_json()["paid"] is None
    prompt = bill(rehearsal, error_share=0.2).prompt
    assert (prompt.low, prompt.high) == pytest.approx((80_000, 120_000))


def test_tokens_that_the_provider_counts_otherwise_are_put_right() -> None:
    found = bill(measured(*[answer(prompt=120)] * 50))
    assert found.prompt.high == pytest.approx(120_000)
    assert found.money is not None
    assert found.money.input.high == pytest.approx(0.12)


def test_what_the_cache_saved_is_taken_to_go_on() -> None:
    found = bill(measured(*[answer(cached=50)] * 50)).money
    assert found is not None
    assert found.input.high == pytest.approx(0.06)
    assert found.cached_found == 0.5


def test_over_the_batch_interface_the_cache_saves_nothing() -> None:
    def batch(cached: int) -> Range:
        money = bill(
            measured(*[answer(cached=cached)] * 50),
            price=replace(PRICE, batch_share=Decimal("0.5")),
        ).money
        assert money is not None
        assert money.batch is not None
        return money.batch

    assert batch(0).high == pytest.approx(0.1)
    assert (batch(50).low, batch(50).high) == pytest.approx((batch(0).low, batch(0).high))


def test_what_the_cache_saved_of_some_answers_makes_the_batch_price_no_less_sure() -> None:
    price = replace(PRICE, batch_share=Decimal("0.5"))
    money = bill(measured(*[answer(cached=at % 2 * 80) for at in range(50)]), price=price).money
    assert money is not None
    assert money.batch is not None
    assert money.total.high > money.total.low * 1.05
    assert (money.batch.low, money.batch.high) == pytest.approx((0.1, 0.1))


def test_thinking_is_told_apart_and_billed_at_its_price() -> None:
    found = bill(measured(*[answer(thought=30)] * 50))
    assert found.reasoning is not None
    assert found.reasoning.high == pytest.approx(30_000)
    assert found.money is not None
    assert found.money.output.high == pytest.approx(0.2)


def test_what_was_billed_goes_before_what_would_be() -> None:
    paid = [replace(answer(), cost_pico=250_000_000)] * 50  # second attempts, say
    census = Census(rows=1000)
    census.add(KIND, 0, Cell(1000, 100_000, 10_000_000))
    output = output_length(KIND, thinks=False, given=None)
    bills = {KIND: Billing(PRICE, "m", thinking=False, output=output)}
    found = bill_by(
        measured(*paid), census, Sample(1000, 1000), bills, as_billed=True, error_share=0
    )
    assert found.money is not None
    assert found.money.total.high == pytest.approx(0.25)


def test_rows_that_nobody_drew_and_another_dataset_leave_more_doubt() -> None:
    first = bill(measured(*[answer()] * 50, pilot=False))
    assert first.completion.low < 50_000 < first.completion.high
    other = bill(measured(*[answer()] * 50, pilot=False, of_dataset=False), error_share=0.2)
    assert (other.prompt.low, other.prompt.high) == pytest.approx((80_000, 120_000))


def test_a_finished_run_leaves_no_doubt() -> None:
    found = bill(measured(*[answer(out=row) for row in range(100)], pilot=False), rows=100)
    assert found.completion == Range(4950, 4950)


def test_latency_is_the_answers_own_and_failures_have_none() -> None:
    slow = [replace(answer(), latency_s=seconds / 10) for seconds in range(1, 101)]
    found = latency_of(measured(*slow, replace(answer(), latency_s=None)))
    assert found is not None
    assert found.answers == 100
    assert found.mean.low < 5.05 < found.mean.high
    assert found.most_within_s == pytest.approx(9.6)
    assert latency_of(measured(*[replace(answer(), latency_s=None)] * 9)) is None


PILOTS, MOST_MISSED = 400, 64


def chance_of_at_most(missed: int, share: float) -> float:
    """That no more than so many of all pilots miss the bill, where each does with `share`."""
    return sum(
        math.comb(PILOTS, at) * share**at * (1 - share) ** (PILOTS - at) for at in range(missed + 1)
    )


def test_a_range_of_90_percent_passes_the_next_test_and_one_of_75_does_not() -> None:
    assert chance_of_at_most(MOST_MISSED, 0.10) > 0.9999
    assert chance_of_at_most(MOST_MISSED, 0.25) < 0.0001


@pytest.mark.parametrize(
    "answers", ["as the stand-in server answers", "grows with the prompt, sigma 0.5"]
)
def test_a_pilots_range_holds_the_bill_and_is_no_wider_than_2_to_1(answers: str) -> None:
    trials = runpy.run_path(str(TRIALS))
    price, draw = trials["price_of_the_tables"](), trials["LENGTHS"][answers]
    datasets = [trials["dataset_of"](draw, seed, price, rows=3000) for seed in range(4)]
    found = [trials["try_once"](datasets[seed % 4], seed) for seed in range(PILOTS)]
    missed = [seed for seed, trial in enumerate(found) if not trial.held]
    assert len(missed) <= MOST_MISSED, missed
    assert max(trial.width for trial in found) <= 2


def test_another_model_has_answered_no_row_yet() -> None:
    census = Census(rows=100)
    census.add(KIND, 0, Cell(100, 10_000, 1_000_000))
    output = output_length(KIND, thinks=False, given=None)
    bills = {KIND: Billing(PRICE, "m", thinking=False, output=output)}
    answers = measured(*[answer(out=row) for row in range(100)])
    found = bill_by(
        answers, census, Sample(100, 100), bills, as_billed=False, error_share=0, same_model=False
    )
    assert found.completion.low < 4950 < found.completion.high


def test_another_models_count_is_not_put_right_by_what_this_one_was_billed() -> None:
    census = Census(rows=100)
    census.add(KIND, 0, Cell(100, 10_000, 1_000_000))
    output = output_length(KIND, thinks=False, given=None)
    bills = {KIND: Billing(PRICE, "m", thinking=False, output=output)}
    answers = measured(*[answer() for _ in range(100)])
    found = bill_by(
        answers,
        census,
        Sample(100, 100),
        bills,
        as_billed=False,
        error_share=0.25,
        same_model=False,
    )
    assert found.prompt.low == pytest.approx(7_500)
    assert found.prompt.high == pytest.approx(12_500)
