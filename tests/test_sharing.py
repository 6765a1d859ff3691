"""A run takes its part of the limits when there is room for it, and follows who comes and goes."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from small_runs import KEY, ROWS, provider, write_csv

from runner import sharing
from runner.begin import begin
from runner.errors import JobError, MachineFault
from runner.handing import stream
from runner.job import Job
from runner.limits import Limits
from runner.records import Part
from runner.share import Share, share_folders
from runner.sharing import Sharing

if TYPE_CHECKING:
    from pathlib import Path


class Taken(Limits):
    """Limits that note what is taken of them."""

    def __init__(self) -> None:
        super().__init__(None, None)
        self.parts: list[Part] = []

    def take(self, part: Part) -> None:
        self.parts.append(part)


@dataclass
class Run:
    """What a shared run has said and taken."""

    said: list[str] = field(default_factory=list)
    limits: Taken = field(default_factory=Taken)

    def __post_init__(self) -> None:
        self.sharing = Sharing("team", say=self.said.append)

    async def begin(self) -> None:
        await self.sharing.begin(self.limits, stopping=lambda: False)

    async def renew(self) -> None:
        await self.sharing.renew(self.limits)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)


async def test_a_run_without_a_name_waits_for_nobody_and_makes_nothing(tmp_path: Path) -> None:
    limits = Taken()
    with Sharing(None, say=pytest.fail) as alone:
        await alone.begin(limits, stopping=lambda: False)
        await alone.renew(limits)
    assert limits.parts == []
    assert not (tmp_path / "cache").exists()


async def test_a_run_begins_when_there_is_room_and_follows_who_comes_and_goes() -> None:
    old, new = Run(), Run()
    with old.sharing:
        await old.begin()
        with new.sharing:
            beginning = asyncio.create_task(new.begin())
            while not (beginning.done() or len(old.limits.parts) >= 2):
                await old.renew()
            await beginning
            assert (old.limits.parts[-1], new.limits.parts) == (Part(0, 2), [Part(1, 2)])
        await old.renew()
    assert old.limits.parts[-1] == Part(0, 1)
    alone = "share team: no other run now; this one takes the whole of its limits"
    two = "share team: 2 runs now; this one takes 1/2 of its limits"
    assert (old.said, new.said) == ([alone, two, alone], [two])


async def test_a_run_that_is_stopped_while_it_waits_begins_nothing() -> None:
    run, looks = Run(), iter([False, True])
    with run.sharing, Share("team", share_folders(os.environ)) as other:
        other.took(Part(0, 1))
        await run.sharing.begin(run.limits, stopping=lambda: next(looks))
    assert run.limits.parts == []
    assert next(looks, None) is None


async def test_a_run_that_cannot_see_the_others_keeps_its_part_and_says_so_once(
    tmp_path: Path,
) -> None:
    run = Run()
    with run.sharing:
        await run.begin()
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").touch()
        await run.renew()
        await run.renew()
        assert len(run.said) == 2
        assert "cannot see the other runs" in run.said[1]
        assert "goes on with 1/1" in run.said[1]
        (tmp_path / "cache").unlink()
        await run.renew()
        assert run.limits.parts == [Part(0, 1), Part(0, 1)]


async def test_a_run_that_cannot_see_the_others_does_not_begin(tmp_path: Path) -> None:
    run = Run()
    with run.sharing:
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").touch()
        with pytest.raises(MachineFault, match="--share team: cannot see the other runs"):
            await run.begin()
    assert run.limits.parts == []


@pytest.mark.parametrize("rehearsal", [False, True])
async def test_only_a_real_run_counts_among_those_that_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rehearsal: bool
) -> None:
    monkeypatch.setattr(sharing, "BEAT_S", 0.01)
    said: list[str] = []
    async with provider(monkeypatch) as at:
        job = at.job(limits={"qps": 1000, "share": "team"})
        paths, name = [write_csv(tmp_path / "d.csv")], str(tmp_path / "run")
        with Share("team", share_folders(os.environ), patience_s=0) as other:
            other.took(Part(0, 2))
            summary = await begin(job, paths, name, rehearsal=rehearsal, say=said.append).go()
            assert other.look() == Part(0, 1), "it is gone when it has ended"
    assert (summary.exit_status, summary.tally.rows) == (0, ROWS)
    assert ("share team: 2 runs now" in "".join(said)) is not rehearsal


async def test_results_taken_from_python_share_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(monkeypatch) as at:
        job, paths = at.job(limits={"qps": 1000, "share": "team"}), write_csv(tmp_path / "d.csv")
        with Share("team", share_folders(os.environ)) as other:
            other.took(Part(0, 2))
            counted = set()
            async for _ in stream(job, paths):
                part = other.look()
                assert part is not None
                counted.add(part.of)
            assert counted == {2}
            assert other.look() == Part(0, 1)


async def test_runs_that_could_not_meet_are_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sharing, "share_folders", lambda _: [tmp_path / "file" / "share"])
    async with provider(monkeypatch) as at:
        limits = {"qps": 1000, "share": "team"}
        run = at.begin(write_csv(tmp_path / "d.csv"), tmp_path / "run", limits=limits)
        with pytest.raises(JobError, match="--share team: no folder"):
            await run.go()
        assert at.requests == 0
    assert not (tmp_path / "run").exists()


async def test_without_any_limit_there_is_nothing_to_share(tmp_path: Path) -> None:
    job = Job.build(
        {
            "prompt": "{{ text }}",
            "model": "m",
            "base_url": "http://127.0.0.1:9/v1",
            "limits": {"concurrency": 4, "share": "team"},
        }
    )
    with pytest.raises(JobError, match="there is no limit to share; set --qps, --rpm or --tpm"):
        begin(job, [write_csv(tmp_path / "d.csv")], str(tmp_path / "run"))
