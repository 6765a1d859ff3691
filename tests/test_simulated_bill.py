"""Does what a run says it cost agree with the stand-in server's own bill, to the last digit?

Real processes and sockets. The server logs what each request was billed for; the bill is drawn up
here from that log alone, with decimals, from prices written down here again.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import penstock, simulator

if TYPE_CHECKING:
    from pathlib import Path

# US dollars for 1,000,000 tokens: prompts up to, input, output, thinking output
PRICES = {
    "qwen-plus": [(256_000, "0.4", "1.2", "4"), (1_000_000, "1.2", "3.6", "12")],
    "qwen3-max": [
        (32_000, "1.2", "6", "7"),
        (128_000, "2.4", "12", "13"),
        (252_000, "3", "15", "16"),
    ],
}
CACHED_SHARE = Decimal("0.2")
SYSTEM = "You keep the gate of a mill, and you answer in the words of a miller. " * 30
# Each fails once or for good, billed or not.
SCENARIO = """
[[rule]]
contains = "(500)"
attempt = 1
answer = "500"

[[rule]]
contains = "(throttled)"
attempt = 1
answer = "limit_requests"

[[rule]]
contains = "(half)"
attempt = 1
answer = "partial"

[[rule]]
contains = "(refused)"
answer = "data_inspection_failed"
"""
SIGNS = ["", "", "(500)", "(throttled)", "(half)", "(refused)"]
LONG = 8  # rows, which go through all of these lengths
WORDS = {"qwen-plus": [20, 20, 200, 280_000], "qwen3-max": [20, 300, 45_000, 140_000]}


def sign_of(row: int) -> str:
    """What is to go wrong; the first rows, which are long, are all answered in the end."""
    sign = SIGNS[row % 6]
    return "" if row < LONG and sign == "(refused)" else sign


def write_rows(path: Path) -> int:
    rows: list[dict[str, Any]] = []
    for at in range(60):
        model = ["qwen-plus", "qwen3-max"][at % 2]
        # The long ones are few, or the test would spend its time on sending them.
        size = WORDS[model][at // 2 % 4 if at < LONG else at % 2]
        thinks = [None, False, True][at % 3]
        rows.append(
            {
                "text": f"row {at} {sign_of(at)} " + "word " * size,
                "asks": model,
                "enable_thinking": thinks,
                "n": 3 if thinks is not True and at % 5 == 0 else None,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path)
    return len(rows)


def bill(log: Path) -> tuple[Decimal, set[tuple[str, int]]]:
    """What the requests in the log cost together, and the tiers that they fell into."""
    total, tiers = Decimal(0), set()
    for line in log.read_text("utf-8").splitlines():
        asked = json.loads(line)
        prompt, cached = asked["prompt_tokens"], asked["cached_tokens"]
        for up_to, input_, output, thinking in PRICES[asked["model"]]:
            if prompt <= up_to:
                price_in, price_out = (
                    Decimal(input_),
                    Decimal(thinking if asked["thought"] else output),
                )
                total += (prompt - cached) * price_in + cached * price_in * CACHED_SHARE
                total += asked["completion_tokens"] * price_out
                tiers.add((asked["model"], up_to))
                break
    return total / 1_000_000, tiers


@pytest.mark.parametrize("delivery", ["--stream", "--no-stream"])
def test_the_run_s_cost_is_the_server_s_bill(tmp_path: Path, delivery: str) -> None:
    rows = write_rows(tmp_path / "data.parquet")
    (tmp_path / "scenario.toml").write_text(SCENARIO, "utf-8")
    listed = {
        name: [[up_to, *map(float, prices)] for up_to, *prices in tiers]
        for name, tiers in PRICES.items()
    }
    prices = "\n".join(f'"{name}" = {json.dumps(tiers)}' for name, tiers in listed.items())
    (tmp_path / "prices.toml").write_text(
        '[model-studio.prices.singapore.USD]\nas_of = "2026-11"\nsource = "this test"\n' + prices,
        "utf-8",
    )
    (tmp_path / "job.toml").write_text(
        '[params.from_columns]\nmodel = "asks"\nenable_thinking = "enable_thinking"\nn = "n"\n',
        "utf-8",
    )
    flags = ["--scenario", "scenario.toml", "--log", "log.jsonl"]
    with simulator(*flags, cwd=tmp_path) as server:
        ended = penstock(
            "generate", "data.parquet", "--job", "job.toml", "-p", "{{ text }}", "-s", SYSTEM,
            "--region", "singapore", "--base-url", server.base_url, "--providers", "prices.toml",
            "--qps", "2000", "--tpm", "1000000000", delivery, "--yes", "--json", "-o", "run/",
            cwd=tmp_path,
        )  # fmt: skip
        stats = server.stats()
    assert ended.status == 1, ended.err  # the refused ones
    summary = ended.json()
    assert summary["failed"] == sum(1 for at in range(rows) if sign_of(at) == "(refused)")
    assert summary["unmetered_attempts"] == 0
    # Everything that makes bills hard was there.
    assert stats["cached_tokens"] > 0
    assert stats["reasoning_tokens"] > 0
    assert {"partial", "limit_requests", "data_inspection_failed"} < set(stats["by_line"])
    assert stats["by_status"]["500"] > 0
    billed, tiers = bill(tmp_path / "log.jsonl")
    assert tiers == {(name, tier[0]) for name, known in PRICES.items() for tier in known}
    assert summary["prompt_tokens"] == stats["prompt_tokens"]
    assert summary["completion_tokens"] == stats["completion_tokens"]
    assert Decimal(repr(summary["cost"])) == billed
    outputs = pq.read_table(tmp_path / "run/completions", columns=["cost"]).column("cost")
    by_row = sum((Decimal(repr(cost)) for cost in outputs.to_pylist() if cost), Decimal(0))
    assert by_row == billed
