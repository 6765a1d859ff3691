from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runner.errors import JobError
from runner.job import Job, LimitSettings, read_job_file
from runner.notation import parse_duration_s

DOCS = Path(__file__).parent.parent / "docs" / "job-file.md"


def list_defaults() -> dict[str, Any]:
    """Every key of a job file with its default, as the code has them."""
    job = Job().model_dump()
    limits = job.pop("limits")
    return job | {f"limits.{name}": default for name, default in limits.items()}


def read_documented() -> dict[str, tuple[str, ...]]:
    rows = re.findall(
        r"^\| `([\w.]+)` \| (.+?) \| (.+?) \| (.+) \|$", DOCS.read_text("utf-8"), re.MULTILINE
    )
    return {row[0]: tuple(row[1:]) for row in rows}


def test_every_key_is_documented_and_no_other() -> None:
    assert set(read_documented()) == set(list_defaults())


def test_each_documented_default_is_the_real_one() -> None:
    for name, (_, default, _) in read_documented().items():
        told = None if default == "none" else tomllib.loads(f"x = {default}")["x"]
        assert told == list_defaults()[name], name


def test_each_key_is_documented_with_its_unit_and_a_reason() -> None:
    for name, (unit, _, reason) in read_documented().items():
        assert len(reason) > 20, name
        if name.endswith("_s"):
            assert unit == "seconds", name


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5d", 129600),
    ],
)
def test_a_duration_is_seconds_or_text_with_units(written: object, seconds: float) -> None:
    assert LimitSettings.model_validate({"drain_s": written}).drain_s == seconds


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("team", "team"),
        ("Team-2.b_c", "team-2.b_c"),
        ("账号", "账号"),
        ("ｔｅａｍ", "team"),
        ("", None),
    ],
)
def test_a_share_has_one_name_however_it_is_typed(written: str, name: str | None) -> None:
    assert LimitSettings(share=written).share == name


@pytest.mark.parametrize("written", ["..", ".", "a/b", "a\\b", "a b", "a.", "x" * 41, "a\n"])
def test_a_share_that_could_be_no_folder_is_refused(written: str) -> None:
    with pytest.raises(JobError, match=r"(?s)limits.share: .* is no name; .* \(flag: --share\)"):
        Job.build({"limits": {"share": written}})


@pytest.mark.parametrize("written", ["soon", "", "5 weeks", "-3s", "1h and a bit"])
def test_what_is_no_duration_is_refused_with_the_way_to_write_one(written: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write 90, 90s, 15m, 2h or 1h30m"):
        parse_duration_s(written)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"promt": "x"}, "promt: there is no such setting; did you mean prompt?"),
        ({"limits": {"qps": 0}}, "limits.qps: it must be above 0 (flag: --qps)"),
        ({"limits": {"qps": float("nan")}}, "limits.qps: 'nan' is no number (flag: --qps)"),
        ({"limits": {"rpm": float("nan")}}, "limits.rpm: 'nan' is no number (flag: --rpm)"),
        ({"limits": {"qsp": 1}}, "limits.qsp: there is no such setting; did you mean limits.qps?"),
        ({"tpm": 1}, "tpm: there is no such setting here; it stands in the table limits"),
        ({"limits": {"first": 1}}, "no such setting here; it stands in no table"),
        ({"shuffle": 1}, "There are: prompt, "),
        ({"limits": {"max_failed": "150%"}}, "neither a number of rows (20) nor a share"),
        ({"limits": {"drain_s": "soon"}}, "limits.drain_s: 'soon' is no duration"),
        ({"limits": {"max_failed": "some"}}, "neither a number of rows (20) nor a share (1.5%)"),
        ({"limits": {"max_attempts": 0}}, "limits.max_attempts"),
        ({"csv_delimiter": ";;"}, "';;' is no delimiter; give one character, or 'tab'"),
        ({"base_url": "example.com/v1"}, "'example.com/v1' is no address; it looks like https://"),
        ({"base_url": "https://example.com/v1?key=1"}, "is no address"),
        ({"format": "xlsx"}, "format: 'xlsx' is none of 'parquet', 'csv' or 'jsonl'"),
        ({"first": 0}, "first: it must be 1 or more"),
    ],
)
def test_a_flaw_is_told_with_its_key_and_what_to_do(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(JobError) as caught:
        Job.build(settings)
    assert told in str(caught.value)
    assert caught.value.exit_status == 2


def test_every_flaw_is_told_at_once_a_line_each() -> None:
    with pytest.raises(JobError) as caught:
        Job.build({"promt": "x", "format": "xlsx", "limits": {"qps": -1}})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://example.com/v1/", "https://example.com/v1"),
        ("https://example.com/v1/chat/completions", "https://example.com/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_an_address_is_kept_without_its_endpoint(written: str, kept: str) -> None:
    assert Job(base_url=written).base_url == kept


@pytest.mark.parametrize("written", ["tab", "\\t", "\t"])
def test_a_tab_can_be_written_in_words(written: str) -> None:
    assert Job(csv_delimiter=written).csv_delimiter == "\t"


@pytest.mark.parametrize(("written", "kept"), [(20, "20"), (" 1.5% ", "1.5%"), (None, None)])
def test_max_failed_is_rows_or_a_share(written: object, kept: str | None) -> None:
    assert LimitSettings.model_validate({"max_failed": written}).max_failed == kept


def test_a_job_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Job().model = "other"  # type: ignore[misc] # what must fail at runtime too


def test_a_job_file_is_read_and_keywords_lie_over_it(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'prompt = "水 {{ text }}"\nmodel = "qwen-plus"\n[params]\nseed = 7\n'
        '[limits]\nmax_outage_s = "1h"\n',
        "utf-8",
    )
    job = Job.load(file, model="qwen-flash")
    assert (job.prompt, job.model, job.params) == ("水 {{ text }}", "qwen-flash", {"seed": 7})
    assert job.limits.max_outage_s == 3600


def test_a_job_comes_back_from_its_own_data() -> None:
    job = Job.build({"keep": ["a"], "params": {"stop": ["x"]}, "limits": {"qps": 2.5}})
    assert Job.build(job.model_dump(mode="json", exclude_none=True)) == job


def test_a_job_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.toml"
    faulty.write_text("qps = \n", "utf-8")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('prompt = "naïve"'.encode("latin-1"))
    for path, told in (
        (tmp_path / "none.toml", "there is no such file"),
        (tmp_path, "cannot be read"),
        (faulty, "not a TOML file: Invalid value (at line 1"),
        (latin, "not a TOML file"),
    ):
        with pytest.raises(JobError) as caught:
            read_job_file(path)
        assert str(caught.value).startswith(f"--job {path}: {told}")


def test_scope_delivery_and_limits_are_no_part_of_what_a_run_is() -> None:
    job = Job(prompt="{{ text }}", model="qwen-plus", params={"seed": 7})
    for delivered in (
        {"first": 5},
        {"region": "beijing", "base_url": "https://example.com/v1", "provider": "other"},
        {"api_key_env": "OTHER_KEY", "api_key_file": "key", "ca_file": "ca.pem"},
        {"stream": True, "wait_timeout_s": 30},
        {"limits": LimitSettings(qps=3)},
    ):
        assert job.model_copy(update=delivered).identity() == job.identity()


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "x"},
        {"system": "x"},
        {"model": "x"},
        {"params": {}},
        {"keep": ("a",)},
        {"prefix": "x_"},
        {"id_column": "a"},
        {"csv_encoding": "gb18030"},
        {"format": "csv"},
    ],
)
def test_what_is_asked_and_how_it_is_kept_is_what_a_run_is(changed: dict[str, Any]) -> None:
    job = Job(prompt="{{ text }}", model="qwen-plus", params={"seed": 7})
    assert job.model_copy(update=changed).identity() != job.identity()


@pytest.mark.parametrize(
    ("written", "kept"), [("64", 64), (64, 64), ("auto", "auto"), (" AUTO", "auto"), (None, None)]
)
def test_concurrency_is_a_number_or_auto(written: object, kept: object) -> None:
    assert LimitSettings.model_validate({"concurrency": written}).concurrency == kept


@pytest.mark.parametrize("written", ["0", 0, -1, "20001", "many", 1.5, True])
def test_any_other_concurrency_is_told(written: object) -> None:
    with pytest.raises(JobError, match=r"1 to 20,000\) nor auto \(flag: --concurrency\)"):
        Job.build({"limits": {"concurrency": written}})
