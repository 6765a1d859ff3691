"""Is a budget never exceeded, and used? Seeded runs against the stand-in server, half of them cut.

`python tests/soak_budget.py [RUNS]` shows the figures of 50 runs, or of so many; `make test` does a
handful of them through `test_budgeted_runs`. The bill is the server's own: its tokens, and a price.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import Server, penstock, simulator, started

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGET_USD = 1.0
ROWS = 3000  # more than the budget is enough for
# Dearer than the real one, so that a budget of 1.00 is used up within seconds.
INPUT_USD, OUTPUT_USD = 2, 20  # per 1,000,000 tokens
MAX_TOKENS = 300  # answers have 10 to 300 tokens, most of them fewer than 60
_PRICES = f"""
[model-studio.prices.singapore.USD]
as_of = "2026-11"
source = "made up for a test"
qwen-plus = [{INPUT_USD}, {OUTPUT_USD}]
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one budgeted run."""

    seed: int
    kills: int
    status: int  # of its last process
    bill_usd: float  # by the server's own count
    told_usd: float  # spent, as the run says
    lost_usd: float  # likewise

    def __str__(self) -> str:
        return (
            f"seed {self.seed:3}: {self.kills} kills, exit {self.status}, bill "
            f"{self.bill_usd:.6f}, told {self.told_usd:.6f} spent and {self.lost_usd:.6f} lost"
        )


def bill_usd(stats: Mapping[str, Any]) -> float:
    """What the server would charge for all that it was asked."""
    prompt, completion = stats["prompt_tokens"], stats["completion_tokens"]
    return float(prompt * INPUT_USD + completion * OUTPUT_USD) / 1e6


def write_inputs(place: Path, seed: int, rows: int = ROWS) -> None:
    """A dataset of questions that nobody else asks, and the price list."""
    dice = random.Random(seed)
    lines = [f'{row},"{"why " * dice.randrange(1, 30)}{seed}"' for row in range(rows)]
    (place / "data.csv").write_text("id,text\n" + "\n".join(lines) + "\n", "utf-8")
    (place / "prices.toml").write_text(_PRICES, "utf-8")


def flags(server: Server) -> list[str]:
    """How a run reaches the server, and its budget."""
    return [
        "--base-url", server.base_url, "--region", "singapore", "--providers", "prices.toml",
        "--qps", "5000", "--tpm", "1000000000", "--concurrency", "50",
        "--param", f"max_tokens={MAX_TOKENS}", "--max-cost", f"{BUDGET_USD:g}",
    ]  # fmt: skip


def budgeted_run(place: Path, seed: int, *, kills: int, errors: str = "") -> Outcome:
    """One run in processes of its own, killed so often at random moments, resumed to its end."""
    dice = random.Random(seed)
    write_inputs(place, seed)
    trouble = ["--errors", errors] if errors else []
    with simulator("--latency", "0:0.03", "--seed", str(seed), *trouble, cwd=place) as server:
        command = ["generate", "data.csv", "-p", "{{ id }}: {{ text }}", "-o", "out"]
        command += [*flags(server), "--quiet"]
        for _ in range(kills):
            _kill_in_mid_run(command, place, server, requests=dice.randrange(1, 300))
            command = ["resume", "out", "--providers", "prices.toml", "--quiet"]
        ended = penstock(*command, "--json", cwd=place)
        assert ended.out, ended.err
        _wait_until_idle(server)
        bill = bill_usd(server.stats())
    cost = ended.json()["budget"]["cost"]
    return Outcome(seed, kills, ended.status, bill, cost["spent"], cost["lost"])


def _kill_in_mid_run(command: list[str], place: Path, server: Server, *, requests: int) -> None:
    before = server.stats()["requests"]
    with started(*command, cwd=place) as process:
        while server.stats()["requests"] < before + requests and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()


def _wait_until_idle(server: Server) -> None:
    """Answers whose client is gone are billed when they are ready."""
    while server.stats()["in_flight"]:
        time.sleep(0.01)


def main() -> None:
    """Run them and print what they came to."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    found = []
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as place:
            outcome = budgeted_run(Path(place), seed, kills=seed % 2)
        print(outcome, flush=True)  # noqa: T201 - what it is for
        found.append(outcome)
    bills = [outcome.bill_usd for outcome in found]
    for name, some in (("killed", found[1::2]), ("not killed", found[::2])):
        used = [one.bill_usd / BUDGET_USD for one in some] or [0.0]
        print(f"{name}: used {min(used):.4f} to {max(used):.4f}")  # noqa: T201 - likewise
    if max(bills) > BUDGET_USD or min(bills) < 0.9 * BUDGET_USD:
        sys.exit("the promise is broken")


if __name__ == "__main__":
    main()
