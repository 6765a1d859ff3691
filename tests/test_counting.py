from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import open_dataset
from runner.errors import MachineFault
from runner.estimate import counting, counting_crew
from runner.estimate.counting import Plan, count_prompts
from runner.estimate.counting_crew import Crew
from runner.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.dataset import Batch, Dataset
    from runner.estimate.prompt_census import Chunk

LARGE, SMALL = 1e12, 0.0  # bytes of text: worth several processes, or not


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    texts = [f"question {at}: 水往低处流 " + "word " * (at % 40) for at in range(5000)]
    texts[77] = ""
    pq.write_table(pa.table({"text": texts}), tmp_path / "x.parquet")
    return open_dataset([str(tmp_path / "x.parquet")])


def plan(dataset: Dataset) -> Plan:
    job = Job(prompt="Answer: {{ text }}{% if text == '' %} {{ 1 / 0 }}{% endif %}", model="m")
    return Plan(job, dataset.paths, None, "qwen", (20, 40))


def batches(dataset: Dataset) -> Iterator[Batch]:
    return dataset.batches(columns=["text"], keep=(), spans=[range(5000)])


def test_several_processes_find_what_one_finds(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_cores", lambda: range(3))
    takes = Crew.takes
    taken: list[Chunk] = []

    def half(crew: Crew, chunk: Chunk) -> bool:
        if len(taken) < 3:
            while not takes(crew, chunk):
                pass
            taken.append(chunk)
            return True
        return False

    monkeypatch.setattr(Crew, "takes", half)
    heard: list[int] = []
    many = count_prompts(plan(dataset), batches(dataset), text_bytes=LARGE, on_rows=heard.append)
    one = count_prompts(plan(dataset), batches(dataset), text_bytes=SMALL, on_rows=lambda _: None)
    assert many == one
    assert len(taken) == 3
    assert one.rows == 5000
    assert one.unsent["template"].row == 77
    assert heard == sorted(heard)
    assert heard[-1] == 5000


@pytest.mark.parametrize("last_words", [b"", b"\x80", pickle.dumps(list(range(999)))[:-500]])
def test_a_process_that_dies_over_its_rows_is_told_in_words_a_person_can_use(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, last_words: bytes
) -> None:
    monkeypatch.setattr(counting, "_cores", lambda: range(2))
    begins_and_dies = (
        "import sys, pickle; pickle.load(sys.stdin.buffer); pickle.dump(True, sys.stdout.buffer); "
        f"sys.stdout.flush(); sys.stdin.buffer.read(1); sys.stdout.buffer.write({last_words!r})"
    )
    monkeypatch.setattr(counting_crew, "_CODE", begins_and_dies)
    endless = (batch for _ in count() for batch in batches(dataset))
    with pytest.raises(MachineFault, match="a process that counts tokens has ended"):
        count_prompts(plan(dataset), endless, text_bytes=LARGE, on_rows=lambda _: None)


def test_all_is_counted_without_a_process_that_never_begins(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_cores", lambda: range(2))
    monkeypatch.setattr(counting_crew, "_CODE", "import sys; sys.stdin.buffer.read(9)")
    found = count_prompts(plan(dataset), batches(dataset), text_bytes=LARGE, on_rows=lambda _: None)
    assert found.rows == 5000


def test_modules_in_the_users_folder_are_not_taken_for_ours(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runner", "json", "tiktoken"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w').close()\n1 / 0\n", "ascii")
    monkeypatch.chdir(tmp_path)
    was_run = tmp_path / "was_run"
    [chunk] = counting._chunks(iter([next(batches(dataset))]))
    with counting_crew.crew_of(plan(dataset), helpers=1) as crew:
        while not crew.takes(chunk):
            assert not was_run.exists()
        assert sum(one.rows for one in crew.rest()) == len(chunk.positions)
    assert not was_run.exists()


def test_it_works_from_a_script_that_does_not_guard_its_main_part(
    dataset: Dataset, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from runner import Job, estimate\n"
        "from runner.estimate import counting\n"
        "print('once')\n"
        "counting._SMALL_BYTES = 0\n"
        f"print(estimate(Job(prompt='{{{{ text }}}}'), [{dataset.paths[0]!r}]).counted_rows)\n"
    )
    command = [sys.executable, "-W", "error", str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stdout.split() == ["once", "5000"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no such signal")
def test_no_process_is_left_when_counting_is_given_up(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remember(*args: object, **more: object) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **more))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(counting, "_cores", lambda: range(3))
    monkeypatch.setattr(subprocess, "Popen", remember)

    def give_up(rows: int) -> None:
        raise KeyboardInterrupt(rows)

    with pytest.raises(KeyboardInterrupt):
        count_prompts(plan(dataset), batches(dataset), text_bytes=LARGE, on_rows=give_up)
    assert len(started) == 2  # beside this one
    assert all(process.poll() is not None for process in started)
