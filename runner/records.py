"""The shapes of a row on its way: Row, Request, Reply, Usage, Verdict, Result."""

from __future__ import annotations

import dataclasses
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Frozen for mypy, which sees every assignment; a row pays for no second proof.

        Setting frozen fields takes twice as long and more: 2 to 3 microseconds a row.
        """
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the dataset. Made by `dataset`, consumed by `template`."""

    index: int  # position in the whole dataset, from 0
    cells: Mapping[str, Any]  # the columns that the job needs, as Python values
    flaw: str | None = None  # why the file's text at this place is no row; such a row fails unsent


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for one row. Made by `template`, consumed by `limits` and `client`."""

    row: int  # Row.index
    body: bytes  # the JSON object to POST, UTF-8, without the streaming keys
    key: str  # 32 hex digits over `body`: equal keys are equal questions
    model: str  # the model that `body` names


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. Made by `client`, consumed by `prices` and `limits`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0  # reasoning included
    total_tokens: int = 0
    cached_tokens: int = 0  # the part of prompt_tokens billed at the cache price
    reasoning_tokens: int = 0  # the part of completion_tokens spent on thinking

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What one successful attempt brought back. Made by `client`, consumed by `run`."""

    completion: str | None  # None when the model answered with tool calls alone
    reasoning: str | None
    tool_calls: str | None  # JSON array as the provider gave it
    choices: str | None  # JSON array of all choices: more than one, or one with logprobs
    finish_reason: str | None
    model: str | None  # as the provider names it
    response_id: str | None
    created: int | None  # seconds since the epoch, provider's clock
    usage: Usage | None  # None: billed, but the provider did not say how much
    request_id: str | None  # the provider's, for its support
    latency_s: float  # from sending the request to the end of the answer
    ttft_s: float | None = None  # to the first token; streamed replies only


class Action(Enum):
    """What follows from a failed attempt."""

    AGAIN = auto()  # ask again; counts towards --max-attempts
    THROTTLED = auto()  # ask again, later and perhaps slower; does not count
    FAIL = auto()  # the row has failed
    CONFIG = auto()  # stops the run when nothing has succeeded yet and all get it; else FAIL
    STOP = auto()  # the run stops, resumable; the row stays pending


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one failed attempt. Made by `verdict`, consumed by `retry` and `run`."""

    action: Action
    error_type: str  # a word of the output column; `runner.verdict` lists them
    message: str  # what happened, in the provider's words where it gave some
    code: str | None = None  # the provider's own
    retry_after_s: float | None = None  # how long the server asked to wait
    burst: bool = False  # the pace grew too quickly: climb back more slowly than usual
    hint: str | None = None  # what a person can do about it, naming the flag
    mend: str | None = None  # that flag as it is typed, where one of a resume's is enough
    outage: bool = False  # counts towards an outage of the endpoint

    @property
    def with_hint(self) -> str:
        """The message and, where there is one, the hint, as a person reads them."""
        message = self.message.strip()
        return f"{message} ({self.hint})" if self.hint else message


@dataclass(frozen=True, slots=True)
class Part:
    """What a run takes of limits that several share. Made by `share`, consumed by `limits`."""

    place: int = 0  # of this run among them, from 0
    of: int = 1  # so many runs take a part each


@dataclass(frozen=True, slots=True)
class Result:
    """The final word on a row. Made by `run`, kept by `journal`, written out by `output`.

    The field names from `completion` to `rejected` are the output columns. Tokens and cost are
    sums over every billed attempt of the row.
    """

    row: int
    key: str  # Request.key; "" when the row could not be made into a request
    completion: str | None = None
    reasoning: str | None = None
    tool_calls: str | None = None
    choices: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None
    created: int | None = None  # seconds since the epoch
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None  # in `currency`; None where a price or the usage is unknown
    attempts: int = 0  # HTTP calls made for this row
    latency_s: float | None = None  # of the last attempt
    ttft_s: float | None = None
    request_id: str | None = None
    currency: str | None = None
    finished_at: float | None = None  # seconds since the epoch, this machine's clock
    error_type: str | None = None  # None: the row succeeded
    error_code: str | None = None
    error_message: str | None = None
    rejected: str | None = None  # text that was paid for but refused
    unmetered_attempts: int = 0  # attempts that may be billed without known usage
    row_id: str = ""  # 32 hex digits over the cell of the id column; "" without one

    @property
    def failed(self) -> bool:
        """Whether the row has no usable answer."""
        return self.error_type is not None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a row without a final word has cost so far, its earlier results included.

    Made by `bill`, kept by `journal`; fields are as in Result.
    """

    row: int
    attempts: int
    unmetered_attempts: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    currency: str | None = None
    part_sha256: str | None = None  # this is what the bill was in that part, before it went on

    @classmethod
    def in_part(cls, result: Result, part_sha256: str) -> Unfinished:
        """The bill of a result that a part holds, noted before its row is asked again."""
        bill = {name: getattr(result, name) for name in cls.__slots__ if name != "part_sha256"}
        return cls(**bill, part_sha256=part_sha256)

    def on(self, result: Result) -> Result:
        """An earlier result of the row with this as its bill: it was asked again, in vain."""
        names = [name for name in self.__slots__ if name not in {"row", "part_sha256"}]
        return dataclasses.replace(result, **{name: getattr(self, name) for name in names})
