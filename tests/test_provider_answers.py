"""Runs over rows that bring up every answer of the provider's table."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import KEY

from runner import Job, Summary, run
from runner.simulator import Scenario, SimulatorSettings, error_lines, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from runner.simulator import Simulator

# The prompt of a row names the error that its first attempts get.
ONCE = {"matches": r"first:(?P<answer>\w+)", "attempt": [1, 1]}
ALWAYS = {"matches": r"always:(?P<answer>\w+)"}

TRIED_AGAIN = (
    "limit_requests",
    "limit_burst_rate",
    "insufficient_quota",
    "allocated_quota",
    "batch_throttled",
    "throttling",
    "throttling_concurrency",
    "rate_limit_reached",
    "retry_after_seconds",
    "retry_after_date",
    "request_timeout_408",
    "server_error",
    "internal_error",
    "algo_error",
    "system_error",
    "model_service_failed",
    "request_timeout",
    "caller_fault_index",
    "caller_fault_role",
    "overloaded",
    "model_unavailable",
    "gateway_timeout",
    "html",
    "html_503",
    "not_json",
    "empty_body",
    "no_choices",
    "error_in_200",
    "partial",
    "truncated_stream",
    "broken_stream",
    "drop",
)
ROW_FAILS = {
    "data_inspection_failed": "content_filter",
    "output_inspection_failed": "content_filter",
    "data_prefixed_error": "content_filter",
    "error_in_stream": "content_filter",
    "context_too_long": "context_length",
    "body_too_large": "too_large",
    "n_range": "bad_request",
}
RUN_STOPS = {
    "quota_exhausted": "quota",
    "free_quota_exceeded": "quota",
    "retry_after_absurd": "",
    "commodity_not_purchased": "",
    "prepaid_bill_overdue": "",
    "postpaid_bill_overdue": "",
    "arrearage": "good standing",
    "invalid_api_key": "region",
    "access_denied": "",
    "access_denied_unpurchased": "",
    "model_access_denied": "",
    "workspace_access_denied": "",
    "endpoint_access_denied": "",
    "free_tier_only": "",
    "model_not_found": "does not exist",
}
CONFIGURATION = {
    "stream_only": "--stream",
    "thinking_must_be_off": "enable_thinking",
    "thinking_only_streams": "--stream",
    "thinking_restricted": "enable_thinking",
    "json_with_thinking": "enable_thinking",
    "json_word_missing": "json",
    "unknown_parameter": "--param",
    "path_not_found": "--base-url",
    "method_not_allowed": "--base-url",
    "html_200": "--base-url",
    "max_tokens_range": "max_tokens",
}
# Answers that are no trouble, that cannot come of a row, or that take too long to wait for here.
ELSEWHERE = {
    "gzip", "no_usage",  # below, or the client's own tests
    "no_messages", "no_model", "body_not_json",  # of requests that are never sent
    "huge", "redirect", "hang",  # the client's own tests
}  # fmt: skip


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)


@asynccontextmanager
async def server(*rules: dict[str, Any]) -> AsyncIterator[Simulator]:
    scenario = Scenario.build({"rule": list(rules)})
    async with serve(SimulatorSettings(scenario=scenario)) as simulator:
        yield simulator


async def ask(folder: Path, base_url: str, prompts: list[str], **settings: Any) -> Summary:
    pq.write_table(pa.table({"prompt": prompts}), folder / "prompts.parquet")
    limits = {"concurrency": 4, "max_attempts": 3, **settings.pop("limits", {})}
    job = Job(base_url=base_url, region="singapore", limits=limits, **settings)
    return await run(job, str(folder / "prompts.parquet"), str(folder / "run"))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "run" / "completions").to_pylist()


def test_every_answer_of_the_table_is_brought_up() -> None:
    brought = {*TRIED_AGAIN, *ROW_FAILS, *RUN_STOPS, *CONFIGURATION, *ELSEWHERE}
    assert brought == set(error_lines())


async def test_what_passes_is_tried_again_and_then_succeeds(tmp_path: Path) -> None:
    prompts = [f"first:{name}" for name in TRIED_AGAIN]
    limits = {"concurrency": len(prompts)}
    async with server(ONCE) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts, limits=limits)
        asked = simulator.stats()["requests"]
    assert {one.message for one in summary.tally.failures.values()} == set()
    attempts = {row["prompt"]: row["attempts"] for row in rows_of(tmp_path)}
    assert attempts == dict.fromkeys(prompts, 2)
    assert asked == 2 * len(prompts)
    assert summary.exit_status == 0


async def test_what_does_not_pass_uses_its_attempts_up_and_fails_alone(tmp_path: Path) -> None:
    # A poison row, among others that succeed.
    prompts = ["always:internal_error", *(f"fine {number}" for number in range(20))]
    limits = {"max_attempts": 2}
    async with server(ALWAYS) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts, limits=limits)
    poison, *others = rows_of(tmp_path)
    assert (poison["error_type"], poison["attempts"]) == ("server_error", 2)
    assert poison["error_code"] == "internal_error"
    assert all(row["error_type"] is None and row["attempts"] == 1 for row in others)
    assert summary.exit_status == 1


async def test_rows_fail_one_by_one_for_what_is_their_own(tmp_path: Path) -> None:
    prompts = ["fine", *(f"always:{name}" for name in ROW_FAILS)]
    limits = {"concurrency": 1}
    async with server(ALWAYS) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts, limits=limits)
        asked = simulator.stats()["requests"]
    rows = rows_of(tmp_path)
    assert {row["prompt"].removeprefix("always:"): row["error_type"] for row in rows[1:]} == (
        ROW_FAILS
    )
    assert all(row["attempts"] == 1 and row["error_message"] for row in rows[1:])
    assert asked == len(prompts)
    assert (summary.exit_status, summary.tally.failed) == (1, len(ROW_FAILS))


@pytest.mark.parametrize("name", RUN_STOPS)
async def test_the_account_stops_the_run_at_once_and_nothing_more_is_asked(
    tmp_path: Path, name: str
) -> None:
    prompts = ["fine 0", "fine 1", f"always:{name}", *(f"later {row}" for row in range(50))]
    async with server(ALWAYS) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts, limits={"concurrency": 1})
        asked = simulator.stats()["requests"]
    assert (summary.exit_status, summary.state) == (3, "stopped")
    assert asked == 3
    assert (summary.tally.rows, summary.pending) == (2, len(prompts) - 2)
    assert summary.message is not None
    assert RUN_STOPS[name] in summary.message
    mend = " --api-key-env NAME" if name == "invalid_api_key" else ""
    assert summary.next == f"penstock resume {tmp_path / 'run'}{mend}"
    assert KEY not in summary.message


@pytest.mark.parametrize("name", CONFIGURATION)
async def test_a_refused_configuration_stops_before_it_burns_the_dataset(
    tmp_path: Path, name: str
) -> None:
    prompts = [f"always:{name} {row}" for row in range(200)]
    async with server(ALWAYS) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts)
        asked = simulator.stats()["requests"]
    assert (summary.exit_status, summary.tally.rows) == (3, 0)
    assert 20 <= asked < 20 + 4
    assert summary.message is not None
    assert CONFIGURATION[name] in summary.message


async def test_the_same_refusal_after_a_success_is_the_row_s_own(tmp_path: Path) -> None:
    prompts = ["fine", *(f"always:stream_only {row}" for row in range(30))]
    async with server(ALWAYS) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts, limits={"concurrency": 1})
    assert (summary.exit_status, summary.tally.succeeded, summary.tally.failed) == (1, 1, 30)
    assert set(summary.tally.failures) == {"config"}


async def test_a_stopped_run_goes_on_when_the_trouble_is_over(tmp_path: Path) -> None:
    prompts = [f"row {row}" for row in range(30)]
    trouble = {"contains": "row 7", "answer": "arrearage", "times": 1}
    async with server(trouble) as simulator:
        first = await ask(tmp_path, simulator.base_url, prompts, limits={"concurrency": 1})
        assert first.exit_status == 3
        second = await ask(tmp_path, simulator.base_url, prompts, limits={"concurrency": 1})
        assert (second.exit_status, second.tally.rows) == (0, 30)
        assert simulator.stats()["answered"] == 30


async def test_streamed_replies_survive_every_break_of_the_stream(tmp_path: Path) -> None:
    names = ["truncated_stream", "broken_stream", "no_usage", "partial", "drop"]
    prompts = [f"first:{name}" for name in names]
    async with server(ONCE) as simulator:
        summary = await ask(tmp_path, simulator.base_url, prompts, stream=True)
    rows = {row["prompt"].removeprefix("first:"): row for row in rows_of(tmp_path)}
    assert summary.exit_status == 0
    assert {name: row["attempts"] for name, row in rows.items()} == {
        "truncated_stream": 2, "broken_stream": 2, "no_usage": 1, "partial": 2, "drop": 2,
    }  # fmt: skip
    assert rows["no_usage"]["total_tokens"] is None
    assert rows["no_usage"]["cost"] is None
    assert all(row["ttft_s"] is not None for row in rows.values())
    assert summary.tally.unmetered_attempts >= 1
