"""Real runs that share 50 requests a second, judged by the server's own log."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING, NamedTuple

import pytest
from processes import penstock, simulator, started
from small_runs import write_csv
from windows import most_in_a_second

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PER_SECOND = 50
MOST = PER_SECOND * 1.01 + 1
_MOST_S = 60.0


class Asked(NamedTuple):
    at_s: float  # seconds since the epoch, by the server
    run: str
    status: int
    text: str


class Log:
    """The server's log as it is written, through a pipe: nobody has to poll it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._news = Condition()
        self.asked: list[Asked] = []

    def follow(self) -> None:
        os.set_blocking(self._pipe, True)
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with open(self._pipe, "rb") as lines:  # noqa: PTH123 - a descriptor
            for line in lines:
                entry = json.loads(line)
                run, _, text = entry["prompt"].partition(" ")
                asked = Asked(entry["at"], run, entry["status"], text)
                with self._news:
                    self.asked.append(asked)
                    self._news.notify_all()

    def until(self, met: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(met, timeout=_MOST_S), self.asked[-5:]

    def until_s(self, moment_s: float) -> None:
        self.until(lambda: self.asked[-1].at_s >= moment_s)

    def of(self, run: str) -> list[float]:
        return [asked.at_s for asked in self.asked if asked.run == run]

    def last_begun(self, run: str) -> float:
        """When the last row of a run was first asked; what came after were retries."""
        first_s: dict[str, float] = {}
        for asked in self.asked:
            if asked.run == run:
                first_s.setdefault(asked.text, asked.at_s)
        return max(first_s.values())

    def wait_for_first(self, run: str) -> float:
        self.until(lambda: bool(self.of(run)))
        return self.of(run)[0]

    def rate(self, run: str, from_s: float, to_s: float) -> float:
        """Requests a second between two moments."""
        return sum(from_s <= at_s < to_s for at_s in self.of(run)) / (to_s - from_s)


@dataclass
class Story:
    """Two runs share; a third one joins and ends; one of the two is killed; one goes on."""

    log: Log
    both_from_s: float
    third_from_s: float
    third_to_s: float
    third_gone_s: float
    late_s: float  # the server itself, at the worst
    killed_s: float
    all_taken_s: float  # the survivor's last second was fuller than any part would allow
    third_status: int
    third_words: str

    @property
    def fullest_second(self) -> int:
        return most_in_a_second(sorted(asked.at_s for asked in self.log.asked))


def command(run: str, base_url: str, *, rows: str, workers: int) -> list[str]:
    return [
        "generate", "d.csv", "-p", f"{run} {{{{ text }}}}", "--base-url", base_url, "--region",
        "singapore", "--qps", str(PER_SECOND), "--concurrency", str(workers), "--share", "team",
        "-n", rows, "-o", run,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return tell(tmp_path_factory.mktemp("sharing"))


def tell(folder: Path) -> Story:
    write_csv(folder / "d.csv", 5_000)
    cache = str(folder / "cache")
    log = Log(folder / "log")
    with simulator("--qps", str(PER_SECOND), "--log", "log", cwd=folder) as server:
        log.follow()

        def run(name: str, *, rows: str = "all", workers: int = 16) -> list[str]:
            return command(name, server.base_url, rows=rows, workers=workers)

        # Unequal numbers of workers must make no difference.
        with (
            started(*run("a"), cwd=folder, XDG_CACHE_HOME=cache),
            started(*run("b", workers=64), cwd=folder, XDG_CACHE_HOME=cache) as second,
        ):
            both_from_s = max(log.wait_for_first("a"), log.wait_for_first("b"))
            log.until_s(both_from_s + 2)
            third = penstock(*run("c", rows="40"), cwd=folder, XDG_CACHE_HOME=cache)
            third_gone_s = time.time()
            log.until_s(third_gone_s + 2)
            killed_s = time.time()
            second.kill()
            log.until(lambda: log.rate("a", log.asked[-1].at_s - 1, log.asked[-1].at_s) >= 42)
            return Story(
                log=log,
                both_from_s=both_from_s,
                third_from_s=log.of("c")[0],
                third_to_s=log.last_begun("c"),
                third_gone_s=third_gone_s,
                late_s=server.stats()["late_s"],
                killed_s=killed_s,
                all_taken_s=log.asked[-1].at_s,
                third_status=third.status,
                third_words=third.err,
            )


def test_no_second_is_above_the_limit_whoever_comes_and_goes(story: Story) -> None:
    # What arrived while the server was not scheduled, it counts as one moment.
    assert story.fullest_second <= MOST + PER_SECOND * story.late_s


def test_a_server_that_enforces_the_limit_has_hardly_anything_to_refuse(story: Story) -> None:
    refused = sum(asked.status == 429 for asked in story.log.asked)
    # It enforces exactly the limit, by the moment at which it comes to read a request.
    assert refused <= 0.01 * len(story.log.asked) + PER_SECOND * story.late_s


def is_half(story: Story, run: str, from_s: float, to_s: float) -> bool:
    """Whether a run had its half; what the server was late for may count on either side."""
    rate = story.log.rate(run, from_s, to_s)
    moved = PER_SECOND * story.late_s / (to_s - from_s)
    return 0.4 * PER_SECOND - moved <= rate <= 0.6 * PER_SECOND + moved


def test_two_runs_get_half_each_whatever_their_number_of_workers(story: Story) -> None:
    for run in "ab":
        assert is_half(story, run, story.both_from_s + 0.6, story.both_from_s + 2)


def test_a_third_run_gets_a_third(story: Story) -> None:
    for run in "abc":
        # Who was there before lets what it sent as a larger part leave the window first.
        rate = story.log.rate(run, story.third_from_s + 0.6, story.third_to_s)
        assert rate == pytest.approx(PER_SECOND / 3, rel=0.25)


def test_a_run_that_ends_leaves_its_part_to_the_others(story: Story) -> None:
    assert story.third_status == 0
    for run in "ab":
        assert is_half(story, run, story.third_gone_s + 1, story.third_gone_s + 2)


def test_the_survivor_of_a_kill_takes_it_all_within_seconds(story: Story) -> None:
    assert story.log.of("b")[-1] <= story.killed_s + 0.1 + story.late_s
    assert story.all_taken_s <= story.killed_s + 3 + story.late_s


def test_a_run_says_how_many_share_now(story: Story) -> None:
    assert "share team: 3 runs now; this one takes 1/3 of its limits\n" in story.third_words
