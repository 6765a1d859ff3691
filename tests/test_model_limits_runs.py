"""Real runs whose rows name their models: each model's limits, by the server's own log."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from processes import Ended, penstock, simulator
from windows import most_in_a_second

from runner.limits import RAMP_FROM, RAMP_S, SHARE

if TYPE_CHECKING:
    from pathlib import Path

# Requests a minute, by the user's own table; "slow" is the job's model, "unheard" in no table.
TABLE = """
[openai-compatible.limits.any]
as_of = "2026-11"
source = "our server's console"
slow = [600, 0]
fast = [2_400, 0]
"""
PER_SECOND = {"slow": 10.0, "fast": 40.0}
JOB = """
prompt = "Say {{ text }}"
model = "slow"
provider = "openai-compatible"
[params.from_columns]
model = "which"
"""


def write_job(folder: Path, rows: dict[str, int]) -> None:
    (folder / "limits.toml").write_text(TABLE, "utf-8")
    (folder / "job.toml").write_text(JOB, "utf-8")
    # Evenly mixed, so that none of the models runs out of rows before the others.
    spread = sorted((place / count, name) for name, count in rows.items() for place in range(count))
    with (folder / "d.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["which", "text"])
        writer.writerows((name, number) for number, (_, name) in enumerate(spread))


def ask(folder: Path, *flags: str, **rows: int) -> tuple[Ended, dict[str, list[float]]]:
    """The run's words, and when the server saw each model's requests."""
    write_job(folder, rows)
    with simulator("--log", "log", cwd=folder) as server:
        ended = penstock(
            "generate", "d.csv", "--job", "job.toml", "--providers", "limits.toml", "--base-url",
            server.base_url, *flags, "-o", "run", cwd=folder, OPENAI_API_KEY="sk-test-0123456789",
        )  # fmt: skip
    assert ended.status == 0, ended.err
    moments: dict[str, list[float]] = {name: [] for name in rows}
    for line in (folder / "log").read_bytes().splitlines():
        entry = json.loads(line)
        moments[entry["model"]].append(entry["at"])
    assert {name: len(found) for name, found in moments.items()} == rows
    return ended, {name: sorted(found) for name, found in moments.items()}


def climbed(per_second: float, requests: int) -> float:
    """Seconds from the first to the last of so many requests, at a pace that climbs."""
    passed, after_s = 1.0, 0.0
    while passed < requests:
        after_s += 0.001
        share = min(1.0, RAMP_FROM + (1 - RAMP_FROM) * after_s / RAMP_S)
        passed += 0.001 * per_second * SHARE * share
    return after_s


def span_s(moments: list[float]) -> float:
    return moments[-1] - moments[0]


def test_each_model_climbs_to_a_pace_of_its_own_and_the_opening_says_so(tmp_path: Path) -> None:
    ended, moments = ask(tmp_path, slow=8, fast=32)
    for name, per_second in PER_SECOND.items():
        expected_s = climbed(per_second, len(moments[name]))
        # Later than the pace is the machine's doing; so is a little earlier, when the first request
        # was held up by opening its connection.
        assert 0.9 * expected_s <= span_s(moments[name]) <= 1.5 * expected_s
    assert (
        "note: each row's model is in the column which (slow where it is empty); each keeps to its "
        "own limits in the provider tables; --qps, --rpm and --tpm are for all together\n"
    ) in ended.err
    assert (
        "pace: climbing to 10 requests/s in a minute (provider table of 2026-11 for slow, "
        "600 a minute; --qps sets it)\n"
    ) in ended.err


def test_a_pace_that_was_set_holds_for_all_models_together(tmp_path: Path) -> None:
    ended, moments = ask(tmp_path, "--rpm", "1200", slow=20, fast=20, unheard=20)
    together = sorted(moment for found in moments.values() for moment in found)
    assert most_in_a_second(together) <= 20 * 1.01 + 1
    assert span_s(together) <= 1.5 * 59 / (20 * SHARE)  # and no model waits for a pace of its own
    assert "pace: 20 requests/s (--rpm 1200)\n" in ended.err


def test_both_that_were_set_hold_for_all_models_at_once(tmp_path: Path) -> None:
    ended, moments = ask(
        tmp_path, "--qps", "20", "--tpm", "60000", "--concurrency", "8", slow=10, fast=10
    )
    together = sorted(moment for found in moments.values() for moment in found)
    assert most_in_a_second(together) <= 20 * 1.01 + 1
    assert "all share the limits that were set\n" in ended.err
    assert "pace: 20 requests/s (--qps)\n" in ended.err
    assert "tokens: 60,000 a minute (--tpm)\n" in ended.err
    assert "workers: 8 (--concurrency)\n" in ended.err
