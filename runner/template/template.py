"""Fill a prompt from a row: Row -> Request.

What is asked comes from the job's prompt template, else from the dataset itself: a column
`messages`, `prompt` or `body`, in this order. The bytes of a body are the same for the same
question, since a row's key is made of them: model, messages, then the parameters in the job's
order, those of the row's own columns last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import FailsRow, JobError
from runner.records import Request, Row
from runner.template.by_column import ByColumn
from runner.template.render import Plain, compile_text, list_columns
from runner.template.row_params import compile_row_params
from runner.template.writers import (
    prompt_column,
    with_row_params,
    write_from_body,
    write_from_messages,
    write_from_prompt,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.job import Job
    from runner.template.render import Rendering
    from runner.template.row_params import Check, RowParams
    from runner.template.writers import Writer

# Keys of a request that are not set as parameters, and where they are set instead.
_NOT_PARAMS = {
    "model": "name the model with -m/--model (job file: model)",
    "messages": "write the prompt with -p/--prompt and -s/--system, or give the dataset a column "
    "`messages`",
    "stream": "choose with --stream or --no-stream (job file: stream)",
    "stream_options": "leave it out; a streamed answer always brings its usage",
    "extra_body": "write its keys as parameters of their own; only the SDKs wrap them",
    "from_columns": "it names columns, and is none itself",
}


@dataclass(frozen=True, slots=True)
class Template:
    """What to ask for a row. Made by `compile_template`, consumed by `run` and `estimate`."""

    columns: frozenset[str]  # the dataset columns that fill() needs
    describe: str  # one line for the start of a run: where the prompts come from
    says_json: bool | None  # whether a message has the word JSON; None: only the rows know
    whole_requests: bool  # whether rows may bring parameters that the job does not name
    by_column: ByColumn | None  # where requests differ in their last message's text alone
    _write: Writer

    def fill(self, row: Row) -> Request:
        """The request for a row.

        Raises FailsRow: "input", "empty_prompt", "template", "bad_request" (its own parameters).
        """
        if row.flaw is not None:
            raise FailsRow("input", row.flaw)
        body, model = self._write(row.cells)
        return Request(row.index, body, blake2b(body, digest_size=16).hexdigest(), model)


def compile_template(
    job: Job, columns: Sequence[str], *, default_model: str | None, check: Check | None = None
) -> Template:
    """The template for a job over a dataset with these columns.

    `check` says why the provider would refuse a model's request with some parameters, if it would;
    it is asked about rows that bring parameters of their own. Raises JobError for a template that
    no row could fill, for parameters with a place of their own, where no model is known, and where
    nothing says what to ask.
    """
    tail = _encode_params(job.fixed_params, job.column_params)
    own = compile_row_params(job.column_params, job.fixed_params, columns, check)
    system = _compile_system(job.system, columns)
    if job.prompt is None and "messages" not in columns and "prompt" not in columns:
        if "body" not in columns:
            raise JobError(_explain_no_prompt(columns))
        write = write_from_body(job, system, default_model, own)
        source = _Source(frozenset({"body"}), "the column body, whole requests", None, write)
        return _assemble(source, system, own, whole_requests=True)
    model = job.model or default_model or ("" if "model" in job.column_params else None)
    if model is None:
        raise JobError(
            f"no model is known for the provider {job.provider}: name one with -m/--model "
            "(job file: model)"
        )
    if own is None:
        return _assemble(_source(job.prompt, columns, model, system, tail), system, None)
    source = _source(job.prompt, columns, model, system, b"}")
    source = replace(source, write=with_row_params(source.write, model, own))
    return _assemble(source, system, own)


def read_value(text: str) -> str:
    """A flag's value: `@FILE` stands for the file's text, `@@x` for the text `@x`.

    Raises JobError naming the file that cannot be read.
    """
    if not text.startswith("@"):
        return text
    if text.startswith("@@"):
        return text[1:]
    if text == "@":
        raise JobError("@ names no file; write @FILE, or @@ for the character itself")
    try:
        return Path(text[1:]).read_text("utf-8-sig")
    except FileNotFoundError:
        raise JobError(
            f"{text}: there is no file {text[1:]}; text that begins with @ is written @{text}"
        ) from None
    except UnicodeDecodeError as error:
        raise JobError(f"{text}: the file is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise JobError(f"{text}: the file cannot be read: {reason}") from None


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the prompts come from."""

    columns: frozenset[str]
    describe: str
    prompt: Rendering | None  # None: the column's own text or messages
    write: Writer
    plain: Plain | None = None


def _source(
    prompt: str | None,
    columns: Sequence[str],
    model: str,
    system: Rendering | None,
    tail: bytes,
) -> _Source:
    if prompt is None and "messages" in columns:
        write = write_from_messages(model, system, tail)
        describe = "the column messages, sent as it is"
        return _Source(frozenset({"messages"}), describe, None, write)
    if prompt is None:
        write = write_from_prompt(model, prompt_column, system, tail)
        describe = "the column prompt, as the user message"
        plain = Plain(("", ""), ("prompt",))
        return _Source(frozenset({"prompt"}), describe, None, write, plain)
    template = compile_text(prompt, flag="-p/--prompt", columns=columns)
    if template.constant is not None and not template.constant.strip():
        raise JobError("-p/--prompt: the template is blank; there would be nothing to ask")
    over = ", ".join(sorted(template.columns)) or "no column: every row asks the same"
    write = write_from_prompt(model, template.render, system, tail)
    describe = f"prompt template over {over}"
    return _Source(template.columns, describe, template, write, template.plain)


def _assemble(
    source: _Source,
    system: Rendering | None,
    own: RowParams | None,
    *,
    whole_requests: bool = False,
) -> Template:
    columns, describe = source.columns, source.describe
    if system is not None:
        over = ", ".join(sorted(system.columns))
        describe += " with a system message" + (f" over {over}" if over else "")
        columns |= system.columns
    if own is not None:
        describe += f"; parameters from columns: {own.describe}"
        columns |= own.columns
    says_json = _says_json(source.prompt, system)
    varies_alone = own is None and (system is None or system.constant is not None)
    by_column = ByColumn(source.plain) if source.plain is not None and varies_alone else None
    return Template(columns, describe, says_json, whole_requests, by_column, source.write)


def _says_json(prompt: Rendering | None, system: Rendering | None) -> bool | None:
    for text in (prompt, system):
        if text is not None and "json" in (text.constant or text.literal).lower():
            return True
    known = prompt is not None and prompt.constant is not None
    return False if known and (system is None or system.constant is not None) else None


def _compile_system(text: str | None, columns: Sequence[str]) -> Rendering | None:
    if text is None:
        return None
    system = compile_text(text, flag="-s/--system", columns=columns)
    # `-s ''` takes back the system message of a job file
    return None if system.constant is not None and not system.constant.strip() else system


def _encode_params(params: Mapping[str, Any], from_columns: Iterable[str]) -> bytes:
    """The parameters as the end of a body, brace included."""
    flaws = [f"--param {name}: {_NOT_PARAMS[name]}" for name in params if name in _NOT_PARAMS]
    flaws += [
        f"params.from_columns, {name}: {_NOT_PARAMS[name]}"
        for name in from_columns
        if name in _NOT_PARAMS and name != "model"
    ]
    for name, value in params.items():
        try:
            orjson.dumps({name: value})
        except TypeError as error:
            flaws.append(f"--param {name}: cannot be sent as JSON: {error}")
    if flaws:
        raise JobError("\n".join(flaws))
    return b"," + orjson.dumps(params)[1:] if params else b"}"


def _explain_no_prompt(columns: Sequence[str]) -> str:
    return (
        f"nothing says what to ask; the dataset's columns: {list_columns(columns)}.\n"
        "Give one of three: a template with -p/--prompt (job file: prompt) such as "
        "-p 'Translate: {{ column }}'; a column `messages` (a list of role and content) or "
        "`prompt` (the user message); a column `body` (whole requests, as in a batch file)"
    )
