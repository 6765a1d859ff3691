"""After a stop in mid-run the summary holds every attempt that has ended, and so does the end."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest
from processes import penstock, simulator, started
from soak_budget import bill_usd, write_inputs

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 300
SEED = 3
# Answers that are billed and cannot be used, and refusals that cost nothing.
ERRORS = "partial=0.1,429=0.1,500=0.1"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals there are others")


def test_the_cost_after_an_interrupt_is_the_servers_bill(tmp_path: Path) -> None:
    write_inputs(tmp_path, SEED, ROWS)
    trouble = ("--errors", ERRORS, "--latency", "0.01:0.05", "--seed", str(SEED))
    with simulator(*trouble, cwd=tmp_path) as server:
        command = (
            "generate", "data.csv", "-p", "{{ id }}: {{ text }}", "-o", "out", "--no-stream",
            "--base-url", server.base_url, "--region", "singapore", "--providers", "prices.toml",
            "--qps", "5000", "--tpm", "1000000000", "--concurrency", "20", "--json", "--quiet",
            "--max-attempts", "20",
        )  # fmt: skip
        with started(*command, cwd=tmp_path) as process:
            while server.stats()["requests"] < 150:
                assert process.poll() is None
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
        assert process.returncode == 130, err
        first, stats = json.loads(out), server.stats()
        assert stats["by_line"]["partial"] > 3, f"seed {SEED}"
        assert 0 < first["succeeded"] < ROWS
        assert first["requests"] == stats["requests"]
        assert first["unmetered_attempts"] == 0
        assert first["total_tokens"] == stats["prompt_tokens"] + stats["completion_tokens"]
        assert first["cost"] == pytest.approx(bill_usd(stats), rel=1e-12)
        told = penstock("status", "out", "--json", cwd=tmp_path).json()
        assert {name: told[name] for name in ("requests", "retries", "cost")} == {
            name: first[name] for name in ("requests", "retries", "cost")
        }
        ended = penstock("resume", "out", "--providers", "prices.toml", "--json", cwd=tmp_path)
        stats = server.stats()
    last = ended.json()
    assert last["pending"] == 0, ended.err
    assert last["requests"] == stats["requests"]
    assert last["retries"] == stats["requests"] - ROWS
    assert last["cost"] == pytest.approx(bill_usd(stats), rel=1e-12)
