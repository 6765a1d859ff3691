"""Disks and files that fail a real run: what it says, its exit status, a clean resume."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from commands import run_here
from dying import Fault
from processes import KEY, PENSTOCK, Server, environment, penstock, started
from trials import ROWS, Trial, ended, journals, sizes, until

from runner.journal import JournalFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 64
# The system's superuser writes wherever he likes, unless this is taken from him.
WITHOUT_OVERRIDE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX")


def test_a_file_that_may_not_grow_stops_the_run_and_is_gone_on_with(trial: Trial) -> None:
    done = trial.shell("ulimit -f 40", *trial.generate())  # 20 kB
    assert done.status == 5, done.err
    assert "a file-size limit (ulimit -f) was reached; raise it; then resume the run" in done.err
    assert done.err.splitlines()[-1].endswith("penstock resume out")
    kept = trial.kept()
    assert 0 < kept < ROWS
    trial.resumes_cleanly(kept=kept)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


@pytest.mark.parametrize("size", ["120k", "140k"])  # in the first the summary finds none either
def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(
    tmp_path: Path, trial_server: Server, size: str
) -> None:
    with small_disk(tmp_path / "full", size) as place:
        trial = Trial(place, trial_server)
        done = penstock(*trial.generate("--json"), cwd=place)
        assert done.status == 5, done.err
        told = done.json()
        assert "the disk is full; free some space; then resume the run" in told["message"]
        kept = trial.kept()
        assert 0 < kept < ROWS
        assert told["killed_attempts"] > 0
        remount(place, "size=8m")
        again = trial.resumes_cleanly("--json", kept=kept).json()
        assert again["killed_attempts"] == told["killed_attempts"]


def test_a_run_on_a_disk_that_is_read_only_now_can_be_read_and_not_gone_on_with(
    tmp_path: Path, trial_server: Server
) -> None:
    with small_disk(tmp_path / "disk", "8m") as place:
        trial = stop(Trial(place, trial_server))
        kept, asked = trial.kept(), trial.asked()
        remount(place, "ro")
        done = penstock("resume", "out", cwd=place)
        assert done.status == 5
        assert "the file system is read-only; make it writable; then resume" in done.err
        assert (trial.kept(), trial.asked()) == (kept, asked)
        there = str(tmp_path / "all.csv")
        assert penstock("export", "out", there, cwd=place).status == 0
        assert f": {kept} succeeded" in penstock("status", "out", cwd=place).out
        remount(place, "rw")
        trial.resumes_cleanly(kept=kept)


def test_a_folder_that_turns_read_only_in_mid_run_stops_it_and_is_gone_on_with(
    trial: Trial,
) -> None:
    folders = [trial.run, *(trial.run / name for name in ("journal", "completions", "seals"))]
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_OVERRIDE, *PENSTOCK, *trial.generate()], cwd=trial.place,
        env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    try:
        until(lambda: list(trial.run.glob("seals/*.json")))
        for folder in folders:
            folder.chmod(0o555)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        for folder in folders:
            folder.chmod(0o755)
    assert process.returncode == 5, err
    assert re.search(r"cannot \w+ (\w+ )*out/\S+: permission denied; make the folder writ", err)
    assert err.splitlines()[-1].endswith("penstock resume out"), err
    trial.resumes_cleanly(kept=trial.kept())


def test_a_folder_that_goes_in_mid_run_stops_it_and_is_gone_on_with(trial: Trial) -> None:
    away = trial.place / "away"
    with started(*trial.generate(), cwd=trial.place) as process:
        until(lambda: list(trial.run.glob("seals/*.json")))
        trial.run.rename(away)
        _, err = process.communicate()
    assert process.returncode == 5, err
    assert re.search(r"cannot (write|open|delete|force to disk) out/.*No such file", err), err
    away.rename(trial.run)
    trial.resumes_cleanly(kept=trial.kept())


class Refused(NamedTuple):
    fault: Fault
    said: str
    lands: bool = False  # what is on its way: results themselves can be kept


REFUSED = {
    "a failed fsync": Refused(
        Fault("force", "journal/*.jsonl", 2, "refused"),
        r"cannot force to disk out/journal/\d+\.jsonl: the disk reported an error; check it",
    ),
    "no room for a journal line": Refused(
        Fault("append", "journal/*.jsonl", 90, "refused", errno.ENOSPC),
        r"cannot write out/journal/\d+\.jsonl: the disk is full; free some space; then resume",
    ),
    "no room for a part": Refused(
        Fault("force", "completions/.part-*", 2, "refused", errno.ENOSPC),
        r"cannot write out/completions/part-\d+\.parquet: the disk is full; free some space; then "
        r"resume the run\. Its answers are safe in the journal; the part needs about [\d,]+ bytes",
    ),
    "no room for run.json": Refused(
        Fault("append", "*/.run.json.tmp", 2, "refused", errno.EDQUOT),
        r"cannot write out/run\.json: the disk quota is used up; free some space; then resume",
        lands=True,
    ),
    "a summary on a read-only disk": Refused(
        Fault("rename", "*/summary.json", 1, "refused", errno.EROFS),
        r"cannot write out/summary\.json: the file system is read-only; make it writable; then",
        lands=True,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_step_to_the_disk_that_fails_stops_the_run(trial: Trial, what: str) -> None:
    fault, said, lands = REFUSED[what]
    done = ended([*fault.arguments(), *trial.generate("--json")], trial.place)
    assert done.status == 5, done.err
    told = done.json()
    assert re.search(said, told["message"]), done.err
    assert trial.asked() < ROWS
    assert trial.asked() == trial.kept() or not lands
    lost = told.get("killed_attempts", 0)
    assert (lost > 0) is not lands
    assert trial.asked() <= told["requests"] + lost, "whatever was sent is counted once"
    assert told["succeeded"] == trial.kept() or fault.step == "force"
    trial.resumes_cleanly(kept=trial.kept())


def stop(trial: Trial) -> Trial:
    """A run with results in the journal and in parts, stopped by Ctrl-C."""

    def is_between() -> bool:
        sealed = len(list(trial.run.glob("seals/*.json")))
        return sealed >= 2 and any(3000 < size < 20_000 for size in sizes(journals(trial.run)))

    while True:
        with started(*trial.generate("--quiet"), cwd=trial.place) as process:
            until(lambda: process.poll() is not None or is_between())
            process.send_signal(signal.SIGINT)
            process.communicate()
        if process.returncode == 130 and is_between():
            return trial
        # Whoever looks may be kept from its core for longer than a block takes: once more.
        shutil.rmtree(trial.run)
        trial.forget()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, trial_server: Server) -> Trial:
    return stop(Trial(tmp_path_factory.mktemp("original"), trial_server))


@pytest.fixture
def stopped(trial: Trial, original: Trial) -> Trial:
    """A copy of the one that was stopped; its dataset lies where it was."""
    shutil.copytree(original.run, trial.run)
    return trial


def test_no_room_for_the_measures_stops_the_run(stopped: Trial) -> None:
    measures = stopped.run / "measures.jsonl"
    measures.unlink()
    measures.symlink_to("/dev/full")
    kept = stopped.kept()
    done = penstock("resume", "out", cwd=stopped.place)
    assert done.status == 5
    assert "cannot write out/measures.jsonl: the disk is full; free some space; then" in done.err
    now = stopped.kept()
    assert now >= kept
    measures.unlink()
    stopped.resumes_cleanly(kept=now)


def test_attempts_that_a_kill_cut_off_are_told_from_then_on(stopped: Trial) -> None:
    path = stopped.run / "summary.json"
    left = {**json.loads(path.read_bytes()), "state": "running", "exit_status": None}
    path.write_text(json.dumps({**left, "most_in_flight": 7}), "utf-8")  # as a kill leaves it
    line = (
        "killed    up to 7 replies were on the way when a process was killed or failed; that may be"
    )
    told = penstock("status", "out", cwd=stopped.place)
    assert "out: dead" in told.out
    assert line in told.out
    done = stopped.resumes_cleanly(kept=stopped.kept())
    assert "before ended without a last word, with up to 7 replies on the way" in done.err
    assert line in done.err
    assert penstock("status", "out", "--json", cwd=stopped.place).json()["killed_attempts"] == 7


class Damaged(NamedTuple):
    work: Callable[[Path], object]  # on the run folder
    said: str  # about it
    rows: int | None = BLOCK  # that are lost; None: those of the open journal files
    by_verifying: bool = False  # alone is it noticed, where nothing has changed


def part(run: Path) -> Path:
    return run / "completions" / "part-00000.parquet"


def seal(run: Path, ending: str) -> Path:
    return run / "seals" / f"00000.{ending}"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def alter_count(run: Path) -> None:
    record = seal(run, "json")
    record.write_bytes(record.read_bytes().replace(b'"requests": 64', b'"requests": 65'))


def remove_block(run: Path) -> None:
    for path in (part(run), seal(run, "keys"), seal(run, "json")):
        path.unlink()


def remove_journal(run: Path) -> None:
    for path in journals(run):
        path.unlink()


def rename_journal(run: Path) -> None:
    for at, path in enumerate(journals(run)):
        path.rename(path.with_name(f"{at:05d}.jsonl"))


DAMAGES = {
    "part deleted": Damaged(lambda run: part(run).unlink(), r"part-00000\.parquet is missing"),
    "part cut off": Damaged(lambda run: cut(part(run)), r"part-00000\.parquet has [\d,]+ bytes"),
    "part flipped": Damaged(
        lambda run: flip(part(run)), r"part-00000\.parquet is damaged \(its SHA", by_verifying=True
    ),
    "record deleted": Damaged(lambda run: seal(run, "json").unlink(), "00000.json is missing"),
    "record altered": Damaged(alter_count, r"00000\.json is damaged \(its checksum"),
    "keys deleted": Damaged(lambda run: seal(run, "keys").unlink(), "00000.keys is missing"),
    "keys flipped": Damaged(
        lambda run: flip(seal(run, "keys")), r"00000\.keys is damaged \(its SHA", by_verifying=True
    ),
    "block deleted": Damaged(remove_block, "had a result when the last summary was written"),
    "journal deleted": Damaged(remove_journal, "had a result when the last summary was", None),
    "journal renamed": Damaged(rename_journal, "holds results of other blocks", None),
}


def next_of(out: str) -> str:
    return out.splitlines()[-1].removeprefix("  next      ")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_refused_and_costs_its_own_rows_once_accepted(
    stopped: Trial, damage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, said, rows, by_verifying = DAMAGES[damage]
    monkeypatch.chdir(stopped.place)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    before = run_here(capsys, "status", "out", "--json").json()
    if rows is None:
        rows = sum(len(JournalFile(path, mend=False).results) for path in journals(stopped.run))
    assert rows > 0
    work(stopped.run)
    verified = run_here(capsys, "plan", "out", "--verify")
    assert (verified.status, bool(re.search(said, verified.out))) == (5, True), verified.out
    assert next_of(verified.out) == "penstock resume out --accept-changes"
    if "part" in damage:
        exported = run_here(capsys, "export", "out", "all.csv")
        assert (exported.status, bool(re.search(r"part-00000", exported.err))) == (5, True)
        assert not Path("all.csv").exists()
    status = run_here(capsys, "status", "out")
    by_size = not by_verifying and rows == BLOCK and damage != "block deleted"
    assert status.status == (5 if by_size else 0), status.out
    if by_size:
        assert re.search(said, status.out)
        assert next_of(status.out) == "penstock plan out --verify"
    asked = stopped.asked()
    if not by_verifying:
        refused = run_here(capsys, "resume", "out")
        assert (refused.status, bool(re.search(said, refused.err))) == (5, True), refused.err
        assert refused.err.rstrip().endswith("penstock resume out --accept-changes")
        assert stopped.asked() == asked
    done = stopped.resumes_cleanly("--accept-changes", kept=before["succeeded"], asked_again=rows)
    total = run_here(capsys, "status", "out", "--json").json()
    assert total["superseded"]["rows"] == rows, done.err
    paid = total["requests"] + total["superseded"]["requests"]
    assert paid == before["requests"] + stopped.asked(), "nothing that was paid for is forgotten"


def test_a_flipped_bit_in_the_journal_is_named_and_costs_its_row_alone(stopped: Trial) -> None:
    path, kept = journals(stopped.run)[0], stopped.kept()
    data = bytearray(path.read_bytes())
    second = data.index(b"\n") + 1
    data[second + 30] ^= 4
    path.write_bytes(data)
    named = f"{path.relative_to(stopped.place)}, line 2, is damaged; its row is asked again"
    planned = penstock("plan", "out", cwd=stopped.place)
    assert (planned.status, named in planned.out) == (5, True)
    done = stopped.resumes_cleanly(kept=kept, asked_again=1)
    assert named in done.err


def test_a_journal_cut_off_is_told_and_costs_the_rows_that_were_cut(stopped: Trial) -> None:
    path, kept = journals(stopped.run)[0], stopped.kept()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]) + lines[-3][:50])
    refused = penstock("resume", "out", cwd=stopped.place)
    assert refused.status == 5
    assert f"{kept} rows had a result when the last summary was written, and {kept - 3}" in (
        refused.err
    )
    stopped.resumes_cleanly("--accept-changes", kept=kept, asked_again=3)


def test_a_journal_that_has_its_name_again_is_used(stopped: Trial) -> None:
    path, kept = journals(stopped.run)[0], stopped.kept()
    other = path.rename(path.with_name("00000.jsonl"))
    done = penstock("resume", "out", cwd=stopped.place)
    assert done.status == 5
    assert f"give it back its name (out/journal/{path.name})" in done.err
    other.rename(path)
    stopped.resumes_cleanly(kept=kept)


def test_a_folder_of_results_that_is_gone_is_named(
    stopped: Trial, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped.place)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    kept = stopped.kept()
    away = stopped.place / "away"
    (stopped.run / "journal").rename(away)
    for command in ("resume", "status", "plan"):
        done = run_here(capsys, command, "out")
        assert done.status == 5
        assert "out/journal is missing, and with it answers that were paid for" in done.err
    assert not (stopped.run / "journal").exists()
    away.rename(stopped.run / "journal")
    stopped.resumes_cleanly(kept=kept)
