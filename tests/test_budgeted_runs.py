from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from small_runs import KEY
from soak_budget import BUDGET_USD, bill_usd, budgeted_run, write_inputs

from runner import simulator
from runner.begin import begin
from runner.errors import BudgetReached, JobError
from runner.handing import stream
from runner.job import Job
from runner.simulator import Simulator, SimulatorSettings
from runner.tally import PICO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from runner.summary import Summary

LIMITS: dict[str, Any] = {"concurrency": 20, "qps": 5000, "tpm": 10**9}


class Asked:
    """A stand-in server, the prices of the soak test, and runs that ask it."""

    def __init__(self, server: Simulator, place: Path, rows: int) -> None:
        self.server = server
        self._place = place
        write_inputs(place, seed=7, rows=rows)

    def job(self, *, limits: dict[str, Any], **settings: Any) -> Job:
        return Job.build(
            {
                "prompt": "{{ id }}: {{ text }}", "model": "qwen-plus", "region": "singapore",
                "base_url": self.server.base_url, "params": {"max_tokens": 300},
                "limits": {**LIMITS, **limits}, **settings,
            }
        )  # fmt: skip

    @property
    def paths(self) -> list[str]:
        return [str(self._place / "data.csv")]

    @property
    def prices(self) -> str:
        return str(self._place / "prices.toml")

    async def go(self, limits: dict[str, Any], **settings: Any) -> Summary:
        job = self.job(limits=limits, **settings)
        out = str(self._place / "out")
        return await begin(job, self.paths, out, providers_file=self.prices).go()

    def lease(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.lease_file.read_bytes())
        return found

    @property
    def lease_file(self) -> Path:
        return self._place / "out/lease.json"

    @property
    def stats(self) -> dict[str, Any]:
        return self.server.stats()

    @property
    def bill_usd(self) -> float:
        return bill_usd(self.stats)


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
async def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> AsyncIterator[Asked]:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    async with simulator.serve(SimulatorSettings(key=KEY, **settings)) as server:
        yield Asked(server, tmp_path, rows=600)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_killed_and_resumed_run_keeps_to_its_budget_and_uses_it(
    tmp_path: Path, seed: int
) -> None:
    outcome = budgeted_run(tmp_path, seed, kills=1)
    print(outcome)  # noqa: T201 - the seed and the figures
    assert outcome.status == 4
    assert 0.9 * BUDGET_USD <= outcome.bill_usd <= BUDGET_USD


def test_kills_and_broken_streams_together_never_exceed_the_budget(tmp_path: Path) -> None:
    errors = "broken_stream=0.01,truncated_stream=0.01,no_usage=0.01,500=0.02,drop=0.01"
    outcome = budgeted_run(tmp_path, 5, kills=2, errors=errors)
    print(outcome)  # noqa: T201 - the seed and the figures
    assert outcome.status == 4
    assert outcome.bill_usd <= BUDGET_USD
    assert outcome.told_usd + outcome.lost_usd == pytest.approx(BUDGET_USD, abs=0.01)


async def test_a_budget_is_used_and_not_exceeded(asked: Asked) -> None:
    summary = await asked.go({"max_cost": "0.1 USD"})
    assert summary.exit_status == 4
    assert asked.bill_usd <= 0.1
    assert summary.tally.cost == pytest.approx(asked.bill_usd)
    assert asked.bill_usd >= 0.09
    assert summary.budget is not None
    assert summary.budget["cost"]["left"] == pytest.approx(0.1 - asked.bill_usd)
    assert summary.next is not None
    assert "--max-cost 0." in summary.next
    assert asked.lease()["cost"]["leased"] == 0


@pytest.mark.parametrize("settings", [{"latency_s": (0.0, 0.24), "seed": 3}])
async def test_attempts_that_were_given_up_count_in_full(asked: Asked) -> None:
    summary = await asked.go({"max_cost": "0.2", "timeout_s": 0.2})
    assert summary.exit_status == 4
    assert summary.budget is not None
    assert summary.budget["cost"]["lost"] > 0
    assert asked.stats["by_status"]["client_gone"] > 0
    assert asked.bill_usd <= 0.2
    assert summary.tally.cost is not None
    assert summary.tally.cost < asked.bill_usd, "what was given up was billed"


@pytest.mark.parametrize("settings", [{"latency_s": (0.0, 0.24), "seed": 3}])
@pytest.mark.parametrize("before", [{}, {"max_total_tokens": 10**9}])
async def test_attempts_given_up_before_a_budget_was_set_count_in_full(
    asked: Asked, before: dict[str, Any]
) -> None:
    first = await asked.go({"timeout_s": 0.12, **before}, first=200)
    unmetered, told_usd = first.tally.unmetered_attempts, first.tally.cost
    assert unmetered > 0
    assert told_usd is not None
    assert told_usd < asked.bill_usd, "what was given up was billed"
    lost = asked.lease()["cost"]
    assert lost["lost"] / PICO >= asked.bill_usd - told_usd
    assert lost["leased"] == lost["boundless"] == 0
    most = round(told_usd + lost["lost"] / PICO + 0.02, 4)
    then = await asked.go({"max_cost": str(most), "timeout_s": 0.12})
    assert then.exit_status == 4
    assert asked.bill_usd <= most
    assert then.budget is not None
    assert then.budget["cost"]["lost"] >= lost["lost"] / PICO


@pytest.mark.parametrize("settings", [{"latency_s": (0.0, 0.24), "seed": 3}])
async def test_a_budget_lifted_and_set_again_counts_what_was_given_up_meanwhile(
    asked: Asked,
) -> None:
    await asked.go({"max_cost": "0.1", "timeout_s": 0.12})
    before = asked.lease()["cost"]["lost"]
    await asked.go({"max_cost": "none", "timeout_s": 0.12}, first=200)
    assert asked.lease()["cost"]["lost"] > before
    sent = asked.stats["requests"]
    again = await asked.go({"max_cost": "0.1", "timeout_s": 0.12})
    assert again.exit_status == 4
    assert asked.stats["requests"] == sent


@pytest.mark.parametrize("settings", [{"latency_s": (0.0, 0.24), "seed": 3}])
@pytest.mark.parametrize("limit", ["max_cost", "max_total_tokens"])
async def test_a_budget_is_refused_after_attempts_that_nobody_knows_a_bound_of(
    asked: Asked, limit: str
) -> None:
    first = await asked.go({"timeout_s": 0.12}, first=40)
    count, sent = first.tally.unmetered_attempts, asked.stats["requests"]
    assert count > 0
    asked.lease_file.unlink()
    with pytest.raises(JobError, match=rf"^--\S+: {count} attempts .* --\S+ none goes on"):
        await asked.go({limit: 10**9, "timeout_s": 0.12})
    assert asked.stats["requests"] == sent


async def test_the_same_budget_sends_nothing_more_and_a_higher_one_goes_on(asked: Asked) -> None:
    await asked.go({"max_cost": "0.05"})
    before = asked.stats["requests"]
    again = await asked.go({"max_cost": "0.05"})
    assert again.exit_status == 4
    assert asked.stats["requests"] == before
    more = await asked.go({"max_cost": "0.1"})
    assert more.exit_status == 4
    assert 0.09 <= asked.bill_usd <= 0.1
    last = await asked.go({"max_cost": "none"})
    assert last.exit_status == 0
    assert last.budget is None


async def test_a_run_that_is_finished_gives_its_lease_back(asked: Asked) -> None:
    summary = await asked.go({"max_cost": "100", "max_total_tokens": 10**9}, first=40)
    assert summary.exit_status == 0
    lease = asked.lease()
    assert [lease[name]["leased"] for name in ("cost", "tokens")] == [0, 0]
    assert [lease[name]["lost"] for name in ("cost", "tokens")] == [0, 0]
    assert lease["tokens"]["spent"] == summary.tally.total_tokens


async def test_a_budget_of_tokens_is_used_and_not_exceeded(asked: Asked) -> None:
    most = 12_000
    summary = await asked.go({"max_total_tokens": most})
    used = asked.stats["prompt_tokens"] + asked.stats["completion_tokens"]
    assert summary.exit_status == 4
    assert 0.9 * most <= used <= most
    assert "--max-total-tokens" in (summary.next or "")


@pytest.mark.parametrize(
    ("limits", "changes", "told"),
    [
        ({"max_cost": "1 CNY"}, {}, "the prices of qwen-plus are in USD here"),
        ({"max_cost": "1"}, {"model": "my-model"}, "the price of my-model is unknown here"),
        ({"max_cost": "1"}, {"params": {}}, "--param max_tokens=1000"),
        ({"max_total_tokens": 9}, {"params": {}}, "--max-total-tokens 9: an answer of any length"),
        (
            {"max_cost": "1"},
            {"params": {"max_tokens": 9, "enable_thinking": True}},
            "thinks before it answers",
        ),
        (
            {"max_cost": "1"},
            {"params": {"max_tokens": 9, "enable_search": True}},
            "enable_search is billed apart from tokens",
        ),
    ],
)
async def test_a_budget_that_could_not_be_kept_is_refused(
    asked: Asked, limits: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(JobError, match=told):
        await asked.go(limits, **changes)
    assert asked.stats["requests"] == 0


async def test_what_was_spent_in_another_currency_is_no_zero(asked: Asked) -> None:
    await asked.go({}, first=3)
    with pytest.raises(JobError, match="this run has spent USD before, and prices are in CNY now"):
        await asked.go({"max_cost": "1"}, region="beijing")


async def test_nothing_is_begun_after_the_deadline(asked: Asked) -> None:
    summary = await asked.go({"deadline": "2020-01-01T08:00"})
    assert summary.exit_status == 4
    assert asked.stats["requests"] == 0
    assert (summary.next or "").endswith("--deadline none")


@pytest.mark.parametrize("settings", [{"latency_s": (0.05, 0.05)}])
async def test_at_the_deadline_what_is_on_its_way_still_lands(asked: Asked) -> None:
    summary = await asked.go({"deadline": "0.4s", "qps": 50})
    assert summary.exit_status == 4
    assert "the deadline has come" in (summary.message or "")
    assert 0 < summary.tally.rows == asked.stats["requests"] < 600


async def test_an_iterator_keeps_to_a_budget_too(asked: Asked) -> None:
    job = asked.job(limits={"max_cost": "0.05"})
    results = []

    async def consume() -> None:
        async for result in stream(job, *asked.paths, providers_file=asked.prices):
            results.append(result)  # noqa: PERF401 - it ends with an exception

    with pytest.raises(BudgetReached, match="--max-cost"):
        await consume()
    assert 0.04 <= sum(result.cost or 0 for result in results) <= 0.05
    assert asked.bill_usd <= 0.05


async def test_a_row_that_no_budget_can_hold_for_fails_unsent(asked: Asked, tmp_path: Path) -> None:
    bodies = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(3)]
    bodies[1]["max_tokens"] = 20  # type: ignore[assignment]
    path = tmp_path / "bodies.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"body": body}) + b"\n" for body in bodies))
    job = asked.job(limits={"max_cost": "1"}, prompt=None, params={})
    run = begin(job, [str(path)], str(tmp_path / "bodies"), providers_file=asked.prices)
    summary = await run.go()
    assert summary.tally.failures["budget"].count == 2
    assert asked.stats["requests"] == 1


async def test_without_a_budget_there_is_no_lease(asked: Asked, tmp_path: Path) -> None:
    await asked.go({}, first=3)
    assert not (tmp_path / "out/lease.json").exists()
