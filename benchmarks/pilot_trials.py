"""How often does the range of a pilot hold the bill? `python benchmarks/pilot_trials.py [TRIALS]`

Each trial makes a dataset, draws a pilot of 100 of its rows, estimates the whole bill from them as
`penstock estimate --pilot 100` does, and compares that with the bill for all rows, which nobody but
the trial knows. No server and no disk: answers' lengths come from the stand-in server's own model
and from distributions that are harder, prices from the tables.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from runner.estimate.cost_forecast import Billing
from runner.estimate.measured import Answer, Measured
from runner.estimate.measured_bill import bill_by
from runner.estimate.output_length import output_length
from runner.estimate.prompt_census import Cell, Census
from runner.estimate.prompt_reading import Kind
from runner.estimate.row_sample import Sample
from runner.job import Job
from runner.pilot import pilot_rows
from runner.prices import cost_pico
from runner.providers import Price, Providers
from runner.records import Usage
from runner.simulator import answer_to
from runner.simulator.model import tokens_by_bytes
from runner.tally import PICO, Tally

ROWS = 20_000
PILOT = 100
_KIND = Kind("qwen-plus")

# Prompt tokens -> answer tokens
Draw = Callable[[Random, int], int]


def _lognormal(dice: Random, middle: float, sigma: float) -> int:
    return max(1, round(middle * math.exp(dice.gauss(0, sigma))))


def _simulated(dice: Random, prompt: int) -> int:
    del prompt
    question = f"{dice.getrandbits(64)}"
    return tokens_by_bytes(answer_to([{"role": "user", "content": question}]))


# A hundred rows hold about ten of its pages, so that their share alone is known to 30 %, and no
# prompt tells which row gets one. Ranges cut down to 2 to 1 would still do here (90 of 100), but
# with three pages of 2,000 tokens among a hundred rows they would hold the bill in 64 of 100 cases.
TWO_KINDS = "nine labels to a page"

LENGTHS: dict[str, Draw] = {
    "as the stand-in server answers": _simulated,
    "lognormal, sigma 0.5": lambda dice, _: _lognormal(dice, 150, 0.5),
    "lognormal, sigma 0.8": lambda dice, _: _lognormal(dice, 150, 0.8),
    "lognormal, sigma 1.0": lambda dice, _: _lognormal(dice, 150, 1.0),
    "lognormal, sigma 1.2": lambda dice, _: _lognormal(dice, 150, 1.2),
    "lognormal, sigma 1.2, max_tokens 1000": lambda dice, _: min(1000, _lognormal(dice, 150, 1.2)),
    "grows with the prompt, sigma 0.5": lambda dice, prompt: _lognormal(dice, 1.5 * prompt, 0.5),
    TWO_KINDS: lambda dice, _: (
        _lognormal(dice, 20, 0.4) if dice.random() < 0.9 else _lognormal(dice, 600, 0.6)
    ),
    "exponential": lambda dice, _: max(1, round(dice.expovariate(1 / 200))),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One pilot's range and the bill, in US dollars."""

    low: float
    high: float
    bill: float

    @property
    def held(self) -> bool:
        """Whether the bill lies in the range."""
        return self.low <= self.bill <= self.high

    @property
    def width(self) -> float:
        """How many times the lower end the upper one is."""
        return self.high / self.low


def price_of_the_tables() -> Price:
    """The price that the trials are billed at."""
    providers = Providers.load(None)
    price = providers.model(providers.endpoint(Job()), _KIND.model).price
    if price is None:
        raise RuntimeError(f"the provider tables have no price for {_KIND.model}")
    return price


@dataclass(frozen=True, slots=True)
class Dataset:
    """All rows with the answers that they would get, which the estimate does not know."""

    prompts: tuple[int, ...]  # tokens
    usages: tuple[Usage, ...]
    costs: tuple[int, ...]  # in 1e-12 US dollars
    price: Price


def dataset_of(draw: Draw, seed: int, price: Price, *, rows: int = ROWS) -> Dataset:
    """Prompts of long-tailed lengths, and answers by `draw`."""
    dice = Random(seed)
    prompts = [_lognormal(dice, 90, 0.5) for _ in range(rows)]
    usages = [Usage(prompt, (out := draw(dice, prompt)), prompt + out) for prompt in prompts]
    costs = [cost_pico(usage, price, thinking=False) for usage in usages]
    return Dataset(tuple(prompts), tuple(usages), tuple(costs), price)


def try_once(dataset: Dataset, seed: int, *, pilot: int = PILOT) -> Trial:
    """One pilot's range beside the bill for all."""
    prompts, usages, costs = dataset.prompts, dataset.usages, dataset.costs
    price, rows = dataset.price, len(dataset.prompts)
    asked = pilot_rows(pilot, rows, seed=seed)
    census = Census(rows=rows)
    squares = sum(prompt * prompt for prompt in prompts)
    census.add(_KIND, 0, Cell(rows, sum(prompts), squares))
    measured = Measured(
        run="trial",
        model=_KIND.model,
        answers=tuple(Answer(_KIND, prompts[at], usages[at], costs[at], 1.0) for at in asked),
        tally=Tally(rows=len(asked), requests=len(asked)),
        rows=tuple(range(at, at + 1) for at in asked),
        of_dataset=True,
        pilot=True,
        rehearsal=False,
    )
    output = output_length(_KIND, thinks=False, given=None)
    bills = {_KIND: Billing(price, _KIND.model, thinking=False, output=output)}
    found = bill_by(
        measured, census, Sample(rows, rows), bills, as_billed=True, error_share=0.0
    ).money
    if found is None:
        raise RuntimeError("a bill without a price")
    return Trial(found.total.low, found.total.high, sum(costs) / PICO)


def main(trials: int) -> int:
    """Print a table; 1 where a range held too rarely or was too wide."""
    price = price_of_the_tables()
    failed = 0
    print(f"pilot of {PILOT} of {ROWS:,} rows, {trials} trials; the range is to hold in 85 of 100")
    print(f"{'answers':<40}{'held':>8}{'width':>8}{'widest':>8}")
    for name, draw in LENGTHS.items():
        found = [try_once(dataset_of(draw, seed, price), seed) for seed in range(trials)]
        held = sum(trial.held for trial in found) / trials
        widths = sorted(trial.width for trial in found)
        print(f"{name:<40}{held:>8.0%}{widths[trials // 2]:>8.2f}{widths[-1]:>8.2f}", flush=True)
        failed += held < 0.85 or (name != TWO_KINDS and widths[-1] > 2)
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
