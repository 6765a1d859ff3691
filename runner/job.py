"""Every knob of a job, with its unit, default and reason. TOML in, TOML-shaped data out."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from runner.errors import JobError
from runner.notation import as_written, parse_duration_s, parse_moment, parse_money
from runner.wrong_settings import explain

Format = Literal["parquet", "csv", "jsonl"]

_MOST_WORKERS = 20_000

_SHARE_NAME = re.compile(r"\w([\w.-]{0,38}[\w-])?")  # of a folder: Windows drops a last dot

Seconds = Annotated[float, BeforeValidator(parse_duration_s), Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class LimitSettings(_Strict):
    """How fast, how often, how long. Not part of what a run is: a resume may change them."""

    qps: float | None = Field(None, gt=0, le=100_000)  # requests per second; None: the provider's
    rpm: float | None = Field(None, gt=0)  # requests per minute, paced as rpm / 60
    tpm: int | None = Field(None, gt=0)  # tokens per minute, input and output together
    concurrency: int | Literal["auto"] | None = None  # in flight; None: by Little's law
    max_attempts: int = Field(6, ge=1)  # of a row, throttles aside; the provider advises 6
    timeout_s: Seconds | None = None  # one whole attempt; None: 600 plain, 3,600 streamed
    max_outage_s: Seconds = 7200.0  # nights have outages of an hour; two are a reason to look
    drain_s: Seconds = 30.0  # how long a stop waits for replies on their way
    share: str | None = None  # a name: runs on this machine that give the same share these limits
    max_failed: str | None = None  # "20" or "1.5%": more failed rows than that stop the run
    max_cost: str | None = None  # "1.5" or "1.5 USD", hard, over the run's whole life
    max_total_tokens: int | None = Field(None, gt=0)  # likewise, input and output together
    deadline: str | None = None  # "2h" from the start, the next "18:00", "2026-11-25T08:00"

    @field_validator("max_cost", mode="before")
    @classmethod
    def _check_max_cost(cls, value: object) -> object:
        if value is None:
            return None
        amount, currency = parse_money(str(value))
        return f"{amount:f} {currency or ''}".strip()

    @field_validator("deadline", mode="before")
    @classmethod
    def _check_deadline(cls, value: object) -> object:
        if value is not None:
            value = str(as_written(value))
            parse_moment(value, datetime.now(UTC))
        return value

    @field_validator("max_cost", "max_total_tokens", "deadline", mode="before")
    @classmethod  # the last one defined is the first to look
    def _lift(cls, value: object) -> object:
        """A resume lifts a limit that an earlier command has set with `none`."""
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @field_validator("concurrency", mode="before")
    @classmethod
    def _check_concurrency(cls, value: object) -> object:
        text = str(value).strip().lower()
        if value is None or text == "auto":
            return value and text
        if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= _MOST_WORKERS:
            raise ValueError(
                f"'{value}' is neither a number of workers (1 to {_MOST_WORKERS:,}) nor auto"
            )
        return int(text)

    @field_validator("share")
    @classmethod
    def _check_share(cls, value: str | None) -> str | None:
        if not value:  # an empty one ends it, for a resume
            return None
        # One name, however it is typed and whatever the file system makes of it.
        name = unicodedata.normalize("NFKC", value).casefold()
        if not _SHARE_NAME.fullmatch(name):
            raise ValueError(
                f"'{value}' is no name; use letters, digits, '-', '_' and '.', at most 40"
            )
        return name

    @field_validator("max_failed", mode="before")
    @classmethod
    def _check_max_failed(cls, value: object) -> object:
        if value is None:
            return None
        text = str(value).strip()
        share = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
        if not (text.isdecimal() or (share and float(share[1]) <= 100)):
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
    # sent as top-level keys of the body, all but `from_columns`: parameter -> its column
    params: dict[str, Any] = Field(default_factory=dict)

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

    @field_validator("params")
    @classmethod
    def _check_from_columns(cls, value: dict[str, Any]) -> dict[str, Any]:
        columns = value.get("from_columns", {})
        if not isinstance(columns, dict) or not all(
            isinstance(column, str) for column in columns.values()
        ):
            raise ValueError('from_columns is a table: parameter = "column", each a column\'s name')
        return value

    @property
    def fixed_params(self) -> dict[str, Any]:
        """The parameters that every row is asked with."""
        return {name: value for name, value in self.params.items() if name != "from_columns"}

    @property
    def column_params(self) -> dict[str, str]:
        """Parameter -> the column whose cells bring it; "model" may be among them."""
        columns: dict[str, str] = self.params.get("from_columns", {})
        return columns

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
            known = {"": cls.model_fields, "limits": LimitSettings.model_fields}
            raise JobError(explain(error, known)) from None

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
