"""Fill a prompt from a row: Row -> Request.

What is asked comes from the job's prompt template, else from the dataset itself: a column
`messages`, `prompt` or `body`, in this order. The bytes of a body are the same for the same
question, since a row's key is made of them: model, messages, then the parameters in the job's
order.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import FailsRow, JobError
from runner.records import Request, Row
from runner.template.messages import read_messages, read_request, with_system
from runner.template.render import Rendering, as_text, compile_text, list_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.job import Job

    Cells = Mapping[str, Any]
    # Cells -> the body and the model that it names; raises FailsRow
    Writer = Callable[[Cells], tuple[bytes, str]]

# Keys of a request that are not set as parameters, and where they are set instead.
_NOT_PARAMS = {
    "model": "name the model with -m/--model (job file: model)",
    "messages": "write the prompt with -p/--prompt and -s/--system, or give the dataset a column "
    "`messages`",
    "stream": "choose with --stream or --no-stream (job file: stream)",
    "stream_options": "leave it out; a streamed answer always brings its usage",
    "extra_body": "write its keys as parameters of their own; only the SDKs wrap them",
}


@dataclass(frozen=True, slots=True)
class Template:
    """What to ask for a row. Made by `compile_template`, consumed by `run` and `estimate`."""

    columns: frozenset[str]  # the dataset columns that fill() needs
    describe: str  # one line for the start of a run: where the prompts come from
    _write: Writer

    def fill(self, row: Row) -> Request:
        """The request for a row. Raises FailsRow: "input", "empty_prompt", "template"."""
        if row.flaw is not None:
            raise FailsRow("input", row.flaw)
        body, model = self._write(row.cells)
        return Request(row.index, body, blake2b(body, digest_size=16).hexdigest(), model)


def compile_template(job: Job, columns: Sequence[str], *, default_model: str | None) -> Template:
    """The template for a job over a dataset with these columns.

    Raises JobError for a template that no row could fill, for parameters with a place of their
    own, where no model is known, and where nothing says what to ask.
    """
    tail = _encode_params(job.params)
    system = _compile_system(job.system, columns)
    if job.prompt is None and "messages" not in columns and "prompt" not in columns:
        if "body" not in columns:
            raise JobError(_explain_no_prompt(columns))
        write = _write_from_body(job, system, default_model)
        return _assemble({"body"}, "the column body, whole requests", system, write)
    model = job.model or default_model
    if model is None:
        raise JobError(
            f"no model is known for the provider {job.provider}: name one with -m/--model "
            "(job file: model)"
        )
    if job.prompt is None and "messages" in columns:
        write = _write_from_messages(model, system, tail)
        return _assemble({"messages"}, "the column messages, sent as it is", system, write)
    if job.prompt is None:
        write = _write_from_prompt(model, _prompt_column, system, tail)
        return _assemble({"prompt"}, "the column prompt, as the user message", system, write)
    prompt = compile_text(job.prompt, flag="-p/--prompt", columns=columns)
    if prompt.constant is not None and not prompt.constant.strip():
        raise JobError("-p/--prompt: the template is blank; there would be nothing to ask")
    over = ", ".join(sorted(prompt.columns)) or "no column: every row asks the same"
    write = _write_from_prompt(model, prompt.render, system, tail)
    return _assemble(prompt.columns, f"prompt template over {over}", system, write)


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


def _assemble(
    needed: set[str] | frozenset[str], describe: str, system: Rendering | None, write: Writer
) -> Template:
    if system is not None:
        over = ", ".join(sorted(system.columns))
        describe += " with a system message" + (f" over {over}" if over else "")
    return Template(frozenset(needed) | (system.columns if system else set()), describe, write)


def _compile_system(text: str | None, columns: Sequence[str]) -> Rendering | None:
    if text is None:
        return None
    system = compile_text(text, flag="-s/--system", columns=columns)
    # `-s ''` takes back the system message of a job file
    return None if system.constant is not None and not system.constant.strip() else system


def _encode_params(params: Mapping[str, Any]) -> bytes:
    """The parameters as the end of a body, brace included."""
    flaws = [f"--param {name}: {_NOT_PARAMS[name]}" for name in params if name in _NOT_PARAMS]
    for name, value in params.items():
        try:
            orjson.dumps({name: value})
        except TypeError as error:
            flaws.append(f"--param {name}: cannot be sent as JSON: {error}")
    if flaws:
        raise JobError("\n".join(flaws))
    return b"," + orjson.dumps(params)[1:] if params else b"}"


def _prompt_column(cells: Cells) -> str:
    value = cells.get("prompt")
    if isinstance(value, list | dict):
        raise FailsRow(
            "input",
            "the column prompt holds a list or an object; name it `messages`, or pick its text "
            "with -p/--prompt",
        )
    try:
        return str(as_text(value))
    except UnicodeDecodeError as error:
        raise FailsRow("input", f"the column prompt is not UTF-8 text: {error}") from None


def _write_from_prompt(
    model: str, prompt: Callable[[Cells], str], system: Rendering | None, tail: bytes
) -> Writer:
    # Only the prompt differs from row to row, so only the prompt is encoded for each.
    opening = b'{"model":' + orjson.dumps(model) + b',"messages":['
    user, close = b'{"role":"user","content":', b"}]" + tail
    constant = system.constant if system else ""
    head = opening + (_encode_system(constant) if constant is not None else b"") + user

    def write(cells: Cells) -> tuple[bytes, str]:
        text = prompt(cells)
        if not text or text.isspace():
            raise FailsRow("empty_prompt", "the prompt is blank in this row; nothing was sent")
        try:
            if system is None or system.constant is not None:
                return head + orjson.dumps(text) + close, model
            before = opening + _encode_system(system.render(cells)) + user
            return before + orjson.dumps(text) + close, model
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write


def _encode_system(text: str) -> bytes:
    if not text.strip():
        return b""
    return b'{"role":"system","content":' + orjson.dumps(text) + b"},"


def _write_from_messages(model: str, system: Rendering | None, tail: bytes) -> Writer:
    head = b'{"model":' + orjson.dumps(model) + b',"messages":'

    def write(cells: Cells) -> tuple[bytes, str]:
        messages = read_messages(cells.get("messages"), "messages")
        if system is not None:
            messages = with_system(messages, system.render(cells))
        try:
            return head + orjson.dumps(messages) + tail, model
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write


def _write_from_body(job: Job, system: Rendering | None, default_model: str | None) -> Writer:
    def write(cells: Cells) -> tuple[bytes, str]:
        fields = read_request(cells.get("body"), "body")
        own = fields.pop("model", None)
        model = job.model or own or default_model
        if not isinstance(model, str):
            raise FailsRow(
                "input", "the object in the column body names no model; give one with -m/--model"
            )
        messages = fields.pop("messages")
        if system is not None:
            messages = with_system(messages, system.render(cells))
        body = {"model": model, "messages": messages, **fields, **job.params}
        try:
            return orjson.dumps(body), model
        except TypeError as error:
            raise _fail_encoding(error) from None

    return write


def _fail_encoding(error: TypeError) -> FailsRow:
    if "surrogates" in str(error):
        return FailsRow("template", "the prompt has a lone surrogate (half a character); no UTF-8")
    return FailsRow("template", f"the request cannot be written as JSON: {error}")


def _explain_no_prompt(columns: Sequence[str]) -> str:
    return (
        f"nothing says what to ask; the dataset's columns: {list_columns(columns)}.\n"
        "Give one of three: a template with -p/--prompt (job file: prompt) such as "
        "-p 'Translate: {{ column }}'; a column `messages` (a list of role and content) or "
        "`prompt` (the user message); a column `body` (whole requests, as in a batch file)"
    )
