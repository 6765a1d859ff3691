"""What a changed job or dataset costs: only the rows that are not as they were answered."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from small_runs import parts, provider, write_parquet

from runner.begin import begin
from runner.errors import DatasetError, MachineFault, Refused, RunFolderError
from runner.folder import RunFolder
from runner.going_on import go_on
from runner.journal import encode_line
from runner.kept import Kept
from runner.plan import plan
from runner.simulator import answer_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from small_runs import Provider

    from runner.going_on import Accept

Cells = list[tuple[str, str]]
ROWS = 150  # three blocks


def cells(rows: int = ROWS) -> Cells:
    """Ids and texts, each different."""
    return [(f"{row:03d}", f"text {row}") for row in range(rows)]


def write(path: Path, rows: Cells) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(rows)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d.csv", cells())
    return tmp_path / "d.csv"


async def asked(at: Provider, accept: Accept | None = None, **settings: Any) -> int:
    """How many requests a resume takes; it ends well."""
    summary = await go_on("out", accept=accept, **settings).go()
    assert (summary.exit_status, summary.pending) == (0, 0), summary.message
    return at.requests


async def finished(at: Provider, path: Path, **settings: Any) -> int:
    assert (await at.begin(str(path), "out", **settings).go()).state == "finished"
    return at.requests


def assert_answers(rows: Cells, ask: Callable[[str], str] = lambda text: f"Say {text}") -> None:
    """Every row of the dataset is there once, in order, with the answer to its own question."""
    found = parts("out")
    assert [(row["row"], row["id"], row["text"]) for row in found] == [
        (number, *row) for number, row in enumerate(rows)
    ]
    for row, (_, text) in zip(found, rows, strict=True):
        assert row["completion"] == answer_to([{"role": "user", "content": ask(text)}])


def edited(rows: Cells) -> Cells:
    return [(one, "other" if one == "070" else text) for one, text in rows]


@pytest.mark.parametrize("id_column", [None, "id"])
@pytest.mark.parametrize(
    ("change", "cost", "gone"),
    [
        (lambda rows: [*rows, ("new", "more"), ("newer", "still more")], 2, 0),
        (edited, 1, 1),
        (lambda rows: rows[::-1], 0, 0),
        (lambda rows: rows[100:] + rows[:100], 0, 0),
        (lambda rows: rows[:20] + rows[21:], 0, 1),
        (lambda rows: [("first", "before all"), *rows], 1, 0),
        (lambda rows: rows[:3], 0, ROWS - 3),
    ],
    ids=["appended", "edited", "reversed", "rotated", "deleted", "inserted", "cut"],
)
async def test_a_changed_dataset_costs_only_what_changed(
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    change: Callable[[Cells], Cells],
    cost: int,
    gone: int,
    id_column: str | None,
) -> None:
    async with provider(monkeypatch) as at:
        assert await finished(at, data, id_column=id_column) == ROWS
        changed = change(cells())
        write(data, changed)
        with pytest.raises(DatasetError, match=r"--accept-changes or --keep-answered"):
            go_on("out")
        before = at.requests
        found = plan("out")
        assert (found.to_ask, found.succeeded) == (cost, len(changed) - cost)
        assert await asked(at, "changes") == cost
        assert before == 0
        assert_answers(changed)
        superseded = RunFolder(data.parent / "out").read_run().superseded_total()
        assert (superseded["rows"] if superseded else 0) == gone
        assert await asked(at) == 0, "what was accepted is the run now"


async def test_rows_that_were_never_asked_are_not_missed_after_a_switch(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    blank = [*cells()[:5], ("blank", " ")]
    write(data, blank)
    async with provider(monkeypatch) as at:
        assert await finished(at, data, prompt="{{ text }}") == 5
        write(data, [*blank, ("new", "more")])
        summary = await go_on("out", accept="changes").go()
        assert (summary.pending, summary.tally.failed, summary.tally.succeeded) == (0, 1, 6)
        assert at.requests == 1
        assert summary.superseded is None


async def test_equal_prompts_stay_rows_of_their_own(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    rows = [(str(row), "the same") for row in range(5)]
    write(data, rows)
    async with provider(monkeypatch) as at:
        assert await finished(at, data) == 5
        write(data, [*rows, ("5", "the same"), ("6", "the same")])
        assert await asked(at, "changes") == 2
        assert [row["row"] for row in parts("out")] == list(range(7))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
async def test_another_template_is_refused_planned_and_accepted(
    monkeypatch: pytest.MonkeyPatch, data: Path, kind: str
) -> None:
    changes = {"prompt": "Tell {{ text }}"}
    async with provider(monkeypatch) as at:
        await finished(at, data, format=kind, first=100)
        with pytest.raises(RunFolderError, match=r"prompt: the run has 'Say \{\{ text \}\}'"):
            go_on("out", changes=changes)
        found = plan("out", changes=changes)
        assert (found.other_job, found.other_input, found.gone, found.to_ask) == (100, 0, 0, 100)
        assert at.requests == 0
        before = {path.name: path.read_bytes() for path in (data.parent / "out").glob("*/part-*")}
        assert await asked(at, "changes", changes=changes) == 100
        kept = (data.parent / "out" / "superseded" / "0001" / "completions").iterdir()
        assert {path.name: path.read_bytes() for path in kept} == before
        assert (data.parent / "out" / "superseded" / "0001" / "run.json").exists()


async def test_every_answer_may_stand_and_only_the_rest_be_asked(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    changes = {"model": "qwen-max", "first": None}
    async with provider(monkeypatch) as at:
        await finished(at, data, first=100)
        found = plan("out", changes=changes)
        assert (found.to_ask, found.pending) == (ROWS, 50)
        write(data, edited(cells()))
        run = go_on("out", changes=changes, accept="answered")
        summary = await run.go()
        assert at.requests == 50
        assert summary.tally.models == {"qwen-plus": 100, "qwen-max": 50}
        assert [row["model"] for row in parts("out")] == ["qwen-plus"] * 100 + ["qwen-max"] * 50
        assert parts("out")[70]["text"] == "other", "the input as it is now"
        assert summary.superseded is None


async def test_what_only_the_output_shows_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, data)
        changes = {"keep": ["id"], "prefix": "p_", "id_column": "id"}
        assert await asked(at, "changes", changes=changes) == 0
        assert [(row["id"], row["p_row"]) for row in parts("out")][::149] == [
            ("000", 0),
            ("149", 149),
        ]
        write(data, cells()[::-1])
        assert await asked(at, "changes") == 0


async def test_what_was_paid_for_superseded_answers_counts_for_the_budget(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    changes = {"prompt": "Tell {{ text }}"}
    async with provider(monkeypatch) as at:
        first = await at.begin(str(data), "out", limits={"concurrency": 4}).go()
        paid = first.tally.total_tokens
        limits = {"max_total_tokens": paid + 1000}
        job = {"params": {"max_tokens": 20}, **changes, "limits": limits}
        summary = await go_on("out", changes=job, accept="changes").go()
        assert summary.exit_status == 4
        assert summary.superseded is not None
        assert summary.superseded["total_tokens"] == paid
        assert summary.budget is not None
        assert summary.budget["tokens"]["spent"] == paid + summary.tally.total_tokens
        assert summary.tally.total_tokens <= 1000
        assert summary.to_json()["superseded"]["rows"] == ROWS


async def test_a_generate_with_another_dataset_names_plan_and_resume(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, data)
        write(data, edited(cells()))
        with pytest.raises(Refused, match=r"penstock plan out\n.*penstock resume out"):
            begin(at.job(), [str(data)], "out")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "cut": ("completions/part-00001.parquet", lambda path: path.write_bytes(path.read_bytes()[:9])),
    "gone": ("completions/part-00001.parquet", lambda path: path.unlink()),
    "keys gone": ("seals/00001.keys", lambda path: path.unlink()),
    "record cut": ("seals/00001.json", lambda path: path.write_bytes(b"{")),
    "record gone": ("seals/00001.json", lambda path: path.unlink()),
    "flipped": ("completions/part-00001.parquet", flip),
    "keys flipped": ("seals/00001.keys", flip),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_part_is_named_set_aside_and_its_rows_asked_again(
    monkeypatch: pytest.MonkeyPatch, data: Path, damage: str
) -> None:
    name, work = DAMAGES[damage]
    async with provider(monkeypatch) as at:
        await finished(at, data)
        work(data.parent / "out" / name)
        found = plan("out", verify=True)
        assert [flaw.block for flaw in found.damaged] == [1]
        assert found.flags == ["--accept-changes"]
        assert found.to_ask == 64
        if "flipped" not in damage:  # which only reading everything tells
            with pytest.raises(MachineFault, match=r"--accept-changes") as fault:
                await go_on("out").go()
            assert fault.value.exit_status == 5
        assert at.requests == 0
        assert await asked(at, "changes") == 64
        assert_answers(cells())
        assert plan("out", verify=True).damaged == []
        aside = {path.name for path in (data.parent / "out" / "superseded").glob("*/*/*")}
        assert "gone" in damage or len(aside) == 3
        total = RunFolder(data.parent / "out").read_run().superseded_total()
        assert total is not None, "what was paid for is known by the last summary, if not by it"
        assert total["rows"] == 64


async def test_a_part_whose_rows_were_just_asked_again_can_be_set_aside_too(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, data)
        run = data.parent / "out"
        (newer,) = (
            Kept(RunFolder(run), RunFolder(run).read_run()).results(1, range(70, 71)).values()
        )
        (run / "journal" / "00001.jsonl").write_bytes(encode_line(newer))
        flip(run / "completions" / "part-00001.parquet")
        with pytest.raises(MachineFault, match=r"--accept-changes"):
            await go_on("out").go()
        assert await asked(at, "changes") == 63
        assert_answers(cells())


async def test_a_damaged_part_in_a_changed_dataset_is_asked_again_too(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    async with provider(monkeypatch) as at:
        await finished(at, data)
        flip(data.parent / "out" / "completions" / "part-00000.parquet")
        changed = [*cells(), ("more", "one more")]
        write(data, changed)
        assert plan("out").to_ask == 65
        assert await asked(at, "changes") == 65
        assert_answers(changed)


async def test_an_appended_parquet_keeps_its_types(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    path = data.with_name("d.parquet")
    write_parquet(path, 10)
    async with provider(monkeypatch) as at:
        assert await finished(at, path) == 10
        write_parquet(path, 12)
        assert await asked(at, "changes") == 2
        assert [row["id"] for row in parts("out")] == list(range(12))
