"""Killed at random and at chosen steps to the disk, a run loses, doubles and repeats nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from dying import Fault
from processes import environment
from soak_crashes import POINTS, RANDOM, WORKERS, killed_runs
from soak_switch import POINTS as SWITCH_POINTS
from soak_switch import killed_switches

import runner.durable

if TYPE_CHECKING:
    from pathlib import Path

SEED = 5
KILLS = 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


def test_twenty_kills_lose_nothing_and_repeat_at_most_what_was_on_its_way(tmp_path: Path) -> None:
    points: Counter[str] = Counter()
    for told in killed_runs(tmp_path, kills=KILLS, seed=SEED):
        assert told.is_flawless, f"seed {SEED}: {told}"
        assert all(rows <= WORKERS for rows in told.again)
        points += told.kills
    assert points.total() == KILLS
    assert points[RANDOM] > 0
    assert len(points) > 5


@pytest.mark.parametrize("moment", ["before", "amid", "after"])
def test_a_process_dies_at_the_step_that_was_chosen(tmp_path: Path, moment: str) -> None:
    fault = Fault("append", "*/.run.json.tmp", 1, moment)  # type: ignore[arg-type]  # of three
    (tmp_path / "data.csv").write_text("prompt\nwhy?\n")

    done = subprocess.run(
        [*fault.arguments(), "generate", "data.csv", "--rehearse", "-o", "out", "--quiet"],
        cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == -9
    written = (tmp_path / "out" / ".run.json.tmp").read_bytes()
    whole = written.startswith(b"{\n") and written.endswith(b"\n}\n")
    assert (bool(written), whole) == {
        "before": (False, False), "amid": (True, False), "after": (True, True)
    }[moment]  # fmt: skip
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_real_switch_that_is_killed_is_undone_or_finished(tmp_path: Path) -> None:
    faults = [
        ("copied part renamed", "after"),  # undone at the next start
        ("run.json replaced", "after"),  # finished from here on
        ("new completions moved", "before"),
    ]
    for told in killed_switches(tmp_path, faults):
        assert told.is_flawless, told


def test_every_chosen_step_is_one_that_runs_go_through() -> None:
    chosen = [*POINTS.values(), *SWITCH_POINTS.values()]
    assert all(callable(getattr(runner.durable, step)) for step, _, _ in chosen)
