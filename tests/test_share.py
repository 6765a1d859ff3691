"""Runs that share a name know of each other, and their parts never come to more than the whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.errors import JobError
from runner.records import Part
from runner.share import Share, share_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKE = """
import sys
from pathlib import Path
from runner.share import Share
with Share("team", [Path(sys.argv[1])]) as share:
    share.took(share.look())
    print("taken", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that takes its part and looks no more."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKE, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        try:
            yield process
        finally:
            process.kill()


def take(share: Share) -> Part | None:
    """One beat of a run."""
    part = share.look()
    if part is not None:
        share.took(part)
    return part


def runs_in(folder: Path) -> list[Path]:
    return list((folder / "account-team").iterdir())


def test_a_run_that_is_alone_takes_everything_at_once(tmp_path: Path) -> None:
    with Share("team", [tmp_path]) as share:
        assert take(share) == Part(0, 1)
        assert take(share) == Part(0, 1)
    assert runs_in(tmp_path) == []


def test_a_newcomer_takes_its_part_once_the_others_have_made_room(tmp_path: Path) -> None:
    with Share("team", [tmp_path]) as old, Share("team", [tmp_path]) as new:
        assert take(old) == Part(0, 2), "it was there before this one took anything"
        assert take(new) == Part(1, 2)
        with Share("team", [tmp_path]) as newest:
            assert take(newest) is None
            assert take(new) == Part(1, 3)
            assert take(newest) is None
            part = old.look()
            assert part == Part(0, 3)
            assert take(newest) is None, "it has been told, and has not done so yet"
            old.took(part)
            assert take(newest) == Part(2, 3)


def test_what_one_leaves_goes_to_the_others(tmp_path: Path) -> None:
    with Share("team", [tmp_path]) as first, ExitStack() as rest:
        others = [rest.enter_context(Share("team", [tmp_path])) for _ in range(3)]
        assert [take(share) for share in (first, *others)] == [Part(n, 4) for n in range(4)]
        rest.close()
        assert take(first) == Part(0, 1)
        assert take(others[0]) is None, "who has left takes nothing and comes not back"
        assert len(runs_in(tmp_path)) == 1


def test_other_names_are_other_accounts(tmp_path: Path) -> None:
    with Share("team", [tmp_path]) as one, Share("other", [tmp_path]) as another:
        assert take(one) == take(another) == Part(0, 1)


def test_a_killed_run_is_gone_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with another_process(tmp_path) as process, Share("team", [tmp_path]) as share:
        assert take(share) is None
        process.kill()
        process.wait()
        assert len(runs_in(tmp_path)) == 2
        assert take(share) == Part(0, 1)
        assert len(runs_in(tmp_path)) == 1


def test_a_run_that_does_not_stir_keeps_nobody_out_for_ever(tmp_path: Path) -> None:
    with another_process(tmp_path), Share("team", [tmp_path], patience_s=0) as share:
        assert take(share) == Part(1, 2)


def test_a_folder_cleared_away_under_its_runs_is_made_again(tmp_path: Path) -> None:
    with Share("team", [tmp_path]) as one, Share("team", [tmp_path]) as another:
        assert {take(one), take(another)} == {Part(0, 2), Part(1, 2)}
        for path in runs_in(tmp_path):
            path.unlink()
        (tmp_path / "account-team").rmdir()
        take(one)
        take(another)
        assert {take(one), take(another)} == {Part(0, 2), Part(1, 2)}
    assert runs_in(tmp_path) == []


def test_files_that_are_no_runs_are_left_alone(tmp_path: Path) -> None:
    with Share("team", [tmp_path]) as share:
        (tmp_path / "account-team" / "note.txt").write_text("mine")
        assert take(share) == Part(0, 1)
    assert [path.name for path in runs_in(tmp_path)] == ["note.txt"]


class Runs:
    """Runs that come, look, take and go in any order, and what they take of the whole."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._seen: dict[Share, Part | None] = {}  # looked, and not yet taken
        self.taken: dict[Share, Part] = {}

    def come(self) -> None:
        share = Share("team", [self._folder], patience_s=1e9)
        share.__enter__()
        self._seen[share] = None

    def look(self) -> None:
        share = self._anyone()
        self._seen[share] = share.look()

    def take(self) -> None:
        share = self._anyone()
        part, self._seen[share] = self._seen[share], None
        if part is not None:
            self.taken[share] = part
            if self._chance.random() < 0.9:  # else it is killed, or slow
                share.took(part)

    def go(self) -> None:
        share = self._anyone()
        self.taken.pop(share, None)
        del self._seen[share]
        share.__exit__()

    def beat(self) -> None:
        for share in self._seen:
            part = take(share)
            if part is not None:
                self.taken[share] = part

    def _anyone(self) -> Share:
        return self._chance.choice(list(self._seen))

    def step(self) -> None:
        """Anything that may happen next."""
        if not self._seen or (len(self._seen) < 6 and self._chance.random() < 0.1):
            self.come()
        elif self._chance.random() < 0.08:
            self.go()
        else:
            self._chance.choice([self.look, self.take])()

    def end(self) -> None:
        for share in list(self._seen):
            share.__exit__()


@pytest.mark.parametrize("seed", range(8))
def test_in_whatever_order_runs_come_look_take_and_go_they_never_take_more_than_all(
    tmp_path: Path, seed: int
) -> None:
    runs = Runs(tmp_path, random.Random(seed))
    for _ in range(400):
        runs.step()
        assert sum(Fraction(1, part.of) for part in runs.taken.values()) <= 1
    runs.come()
    for _ in range(3):
        runs.beat()
    parts = sorted(runs.taken.values(), key=lambda part: part.place)
    assert parts == [Part(place, len(parts)) for place in range(len(parts))], "all of it is used"
    runs.end()


RACE = """
import sys, time
from pathlib import Path
from runner.share import Share
for turn in range(60):
    with Share("team", [Path(sys.argv[1])]) as share:
        part = share.look()
        while part is None:
            part = share.look()
        share.took(part)
        assert part.of <= 3, part
print("done")
"""


def test_processes_that_come_and_go_all_the_time_do_not_lose_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[0] for process in racing] == [b"done\n"] * 3
    assert runs_in(tmp_path) == []


def test_the_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    with Share("team", [tmp_path / "cache" / "share"]):
        assert (tmp_path / "cache" / "share").stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in runs_in(tmp_path / "cache/share"))


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    public, own = tmp_path / "public", tmp_path / "own"
    public.mkdir()
    public.chmod(0o777)
    with Share("team", [public, own]) as share:
        assert take(share) == Part(0, 1)
        assert len(runs_in(own)) == 1
    with pytest.raises(JobError, match=r"--share team: no folder .*public \(others could write"):
        Share("team", [public]).__enter__()


def test_a_place_that_is_no_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match=r"(?s)file/share .*XDG_CACHE_HOME"):
        Share("team", [tmp_path / "file" / "share"]).__enter__()


def test_runs_meet_in_the_cache_folder_or_else_in_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    first, second = share_folders({"XDG_CACHE_HOME": "/somewhere"})
    assert first == Path("/somewhere/penstock/share")
    assert second.name == f"penstock-share-{os.getuid()}"
    for ignored in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "not/absolute"}):
        first, second = share_folders(ignored)
        assert first.is_relative_to(tmp_path)
        assert first.parts[-2:] == ("penstock", "share")


@pytest.mark.parametrize(
    ("system", "cache"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_each_system_has_its_own_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, cache: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    assert share_folders({})[0] == tmp_path / cache / "penstock" / "share"
    if system == "win32":
        named = share_folders({"LOCALAPPDATA": str(tmp_path / "x"), "USERNAME": "me"})
        assert named[0] == tmp_path / "x" / "penstock" / "share"
        assert named[1].name == "penstock-share-me"


def test_a_user_without_a_home_meets_in_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert [path.name for path in share_folders({})] == [f"penstock-share-{os.getuid()}"]
