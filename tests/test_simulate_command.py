"""`penstock simulate` as a person and a test start it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from processes import penstock

from jobs.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from jobs.simulate import simulate; simulate()"]


@contextmanager
def started(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*COMMAND, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_answers_and_ends_with_its_figures(number: signal.Signals) -> None:
    with started("--qps", "50", "--errors", "429=1", "--key", "sk-made-up") as (process, line):
        said, _, url = line.strip().rpartition(" ")
        assert said == "Listening on"
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/compatible-mode/v1")
        stats = urllib.request.urlopen(url.replace("compatible-mode/v1", "_stats"))  # noqa: S310
        with stats:
            assert json.load(stats)["requests"] == 0
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "Limits: 50 requests/s; errors: 1 limit_requests" in err
    assert "Stopped. 0 requests" in err
    assert "sk-made-up" not in err


def test_quiet_prints_the_address_alone() -> None:
    with started("--quiet") as (process, line):
        assert line.startswith("Listening on http://")
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--errors", "429=2"], "--errors 429=2: write NAME=SHARE"),
        (["--latency", "slow"], "--latency slow: give seconds"),
        (["--scenario", "gone.toml"], "--scenario gone.toml: cannot be read"),
        (["--qps", "0"], "--qps"),
    ],
)
def test_wrong_flags_end_with_2_and_one_message(
    flags: list[str], said: str, tmp_path: Path
) -> None:
    ended = penstock("simulate", *flags, cwd=tmp_path)
    assert ended.status == 2
    assert said in ended.err


def test_the_names_of_errors_can_be_listed() -> None:
    result = CliRunner().invoke(simulate, ["--list-errors"])
    assert result.exit_code == 0
    assert "limit_burst_rate" in result.stdout
    assert "truncated_stream" in result.stdout
