"""Every knob of a job, with its unit, default and reason. TOML in, TOML-shaped data out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from runner.errors import JobError

Format = Literal["parquet", "csv", "jsonl"]

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def parse_duration_s(value: object) -> object:
    """`90`, `"90s"`, `"2h"` or `"1h30m"` as seconds; other types pass through."""
    if not isinstance(value, str):
        return value
    parts = _DURATION.findall(value)
    if not parts or _DURATION.sub("", value).strip():
        raise ValueError(f"'{value}' is no duration; write 90, 90s, 15m, 2h or 1h30m")
    return sum(float(number) * _UNITS_S[unit or "s"] for number, unit in parts)


Seconds = Annotated[float, BeforeValidator(parse_duration_s), Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class LimitSettings(_Strict):
    """How fast, how often, how long. Not part of what a run is: a resume may change them."""

    qps: float | None = Field(None, gt=0, le=100_000)  # requests per second; None: the provider's
    rpm: float | None = Field(None, gt=0)  # requests per minute, paced as rpm / 60
    tpm: int | None = Field(None, gt=0)  # tokens per minute, input and output together
    concurrency: int | None = Field(None, ge=1, le=20_000)  # in flight; None: by Little's law
    max_attempts: int = Field(6, ge=1)  # of a row, throttles aside; the provider advises 6
    timeout_s: Seconds | None = None  # one whole attempt; None: 600 plain, 3,600 streamed
    max_outage_s: Seconds = 7200.0  # nights have outages of an hour; two are a reason to look
    drain_s: Seconds = 30.0  # how long a stop waits for replies on their way
    max_failed: str | None = None  # "20" or "1.5%": more failed rows than that stop the run

    @field_validator("max_failed", mode="before")
    @classmethod
    def _check_max_failed(cls, value: object) -> object:
        if value is None:
            return None
        text = str(value).strip()
        if not re.fullmatch(r"\d+|\d+(\.\d+)?%", text):
            raise ValueError(f"'{value}' is neither a number of rows (20) nor a share (1.5%)")
        return text


class Job(_Strict):
    """What to ask, of whom, and how fast.

    Build it from keywords, from a TOML file (`Job.load`), or from the command line's flags; every
    flag has its key here.
    """

    prompt: str | None = None  # Jinja2 template of the user message; None: the dataset's own column
    system: str | None = None  # Jinja2 template of the system message
    model: str | None = None  # None: the provider's default, or the row's own in a `body` column
    params: dict[str, Any] = Field(default_factory=dict)  # sent as top-level keys of the body

    provider: str = "model-studio"  # a name in providers.toml
    region: str | None = None  # None: the provider's default (Singapore, as in its documents)
    base_url: str | None = None  # any OpenAI-compatible address, without table limits
    api_key_env: str | None = None  # None: the provider's variable (DASHSCOPE_API_KEY)
    api_key_file: str | None = None  # a file that holds the key alone
    ca_file: str | None = None  # PEM bundle to trust besides the system's
    stream: bool | None = None  # None: plain, but streamed for models that only stream
    wait_timeout_s: Seconds | None = None  # let the server queue bursts (X-DashScope-Wait-Timeout)

    keep: tuple[str, ...] | None = None  # input columns to copy into the output; None: all
    prefix: str = ""  # put before each output column's name
    id_column: str | None = None  # the user's own key of a row
    first: int | None = Field(None, ge=1)  # only the first N rows
    csv_delimiter: str = ","
    csv_encoding: str = "utf-8"  # a byte order mark is skipped
    format: Format = "parquet"  # of the parts in the run folder

    limits: LimitSettings = Field(default_factory=LimitSettings)

    @field_validator("csv_delimiter")
    @classmethod
    def _check_delimiter(cls, value: str) -> str:
        value = {"\\t": "\t", "tab": "\t"}.get(value, value)
        if len(value) != 1 or value in '"\r\n':
            raise ValueError(f"'{value}' is no delimiter; give one character, or 'tab'")
        return value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", value):
            raise ValueError(
                f"'{value}' is no address; it looks like https://HOST/compatible-mode/v1"
            )
        return value.rstrip("/").removesuffix("/chat/completions")

    @classmethod
    def build(cls, settings: dict[str, Any]) -> Job:
        """A Job from TOML-shaped data; every flaw is told in one JobError, a line each."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise JobError(_explain(error)) from None

    @classmethod
    def load(cls, path: str | Path, **overrides: Any) -> Job:
        """A Job from a TOML file; keyword arguments lie over its top-level keys."""
        return cls.build({**read_job_file(path), **overrides})

    def identity(self) -> dict[str, Any]:
        """The part of the job that decides what is asked and what the output looks like.

        Two runs with equal identities over equal rows are the same run; scope, delivery and limits
        are left out.
        """
        return self.model_dump(
            mode="json",
            include={"prompt", "system", "model", "params", "keep", "prefix", "id_column"}
            | {"csv_delimiter", "csv_encoding", "format"},
        )


def read_job_file(path: str | Path) -> dict[str, Any]:
    """The TOML of a job file as nested data. Raises JobError naming the file and the line."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise JobError(f"--job {path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobError(f"--job {path}: not a TOML file: {error}") from None
    except OSError as error:
        raise JobError(f"--job {path}: cannot be read: {error.strerror}") from None


def _explain(error: ValidationError) -> str:
    lines = []
    for flaw in error.errors(include_url=False):
        where = ".".join(str(part) for part in flaw["loc"]) or "job"
        if flaw["type"] == "extra_forbidden":
            lines.append(f"{where}: there is no such setting; see docs/job-file.md for all of them")
        else:
            lines.append(f"{where}: {flaw['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
