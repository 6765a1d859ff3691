from __future__ import annotations

import gzip
import json
from random import Random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from runner.estimate import estimate
from runner.estimate.first_look import first_look
from runner.job import Job
from runner.preflight import prepare

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 20_000
JOB = Job(prompt="Summarise: {{ text }}")
WORDS = ["the", "gate", "was", "stuck", "for", "a", "third", "time", "and", "Ana", "says"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    dice = Random(11)
    texts = [" ".join(dice.choices(WORDS, k=dice.randrange(10, 90))) for _ in range(ROWS)]
    return pa.table({"id": [str(at) for at in range(ROWS)], "text": texts})


@pytest.fixture(scope="module", params=["parquet", "csv", "jsonl", "jsonl.gz"])
def path(
    request: pytest.FixtureRequest, table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> str:
    place: Path = tmp_path_factory.mktemp("data") / f"x.{request.param}"
    if request.param == "parquet":
        pq.write_table(table, place, row_group_size=3000)
    elif request.param == "csv":
        pa_csv.write_csv(table, place)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
        place.write_bytes(gzip.compress(lines) if request.param == "jsonl.gz" else lines)
    return str(place)


def test_it_is_near_what_counting_finds_whatever_the_format(path: str) -> None:
    about = first_look(prepare(JOB, [path]))
    exact = estimate(JOB, [path], sample=500)
    assert about is not None
    assert about.counted_rows <= 1100
    # compressed text may shrink to other than a quarter
    factor = 2 if path.endswith(".gz") else 1.1
    assert ROWS / factor < about.rows < ROWS * factor
    if not path.endswith(".gz"):
        tokens = about.models[0].prompt_tokens
        assert tokens.low < exact.models[0].prompt_tokens.low
        assert exact.models[0].prompt_tokens.high < tokens.high
    assert about.rows_exact == path.endswith(".parquet")


def test_only_the_rows_that_are_left_count(path: str) -> None:
    flight = prepare(JOB.model_copy(update={"first": 3000}), [path])
    whole, rest = first_look(flight), first_look(flight, done=2900)
    assert whole is not None
    assert rest is not None
    assert (whole.rows, rest.rows) == (3000, 100)
    assert rest.models[0].prompt_tokens.low < whole.models[0].prompt_tokens.low / 20
    assert first_look(flight, done=3000) is None
    few = prepare(JOB.model_copy(update={"first": 5}), [path])
    found = first_look(few)
    assert found is not None
    assert (found.rows, found.counted_rows, found.rows_exact) == (5, 5, True)


def test_it_loads_no_vocabulary(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.tokens.vocabularies.load_ranks", None)
    with pytest.raises(TypeError):
        estimate(JOB, [path], sample=10)
    found = first_look(prepare(JOB, [path]))
    assert found is not None
    assert not found.models[0].exact
    assert found.models[0].error_share > 0


def test_requests_that_name_their_own_models_are_priced_as_these(tmp_path: Path) -> None:
    place = tmp_path / "x.jsonl"
    messages = [{"role": "user", "content": "hello " * 2000}]
    place.write_text(
        "".join(
            json.dumps({"custom_id": str(at), "body": {"model": model, "messages": messages}})
            + "\n"
            for at, model in enumerate(["qwen-max", "qwen-flash"])
        )
    )
    found = first_look(prepare(Job(), [str(place)]))
    assert found is not None
    assert found.models[0].model == "each row's own"
    assert found.models[0].money is not None
    assert {line.model for line in found.models[0].money.tiers} == {"qwen-max", "qwen-flash"}
