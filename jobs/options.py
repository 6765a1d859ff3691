"""Flags that several commands share, and how they become a job's settings."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]
    Option = Callable[[Command], Command]

_POSITIVE = click.FloatRange(min=0, min_open=True)

# Flags that are named like their key in the job file; `limits` holds the second group.
_JOB_KEYS = (
    "prompt", "system", "model", "provider", "region", "base_url", "api_key_env", "api_key_file",
    "ca_file", "stream", "prefix", "id_column", "csv_delimiter", "csv_encoding", "format",
)  # fmt: skip
_LIMIT_KEYS = {
    "qps": "qps",
    "rpm": "rpm",
    "tpm": "tpm",
    "concurrency": "concurrency",
    "max_attempts": "max_attempts",
    "timeout": "timeout_s",
    "max_outage": "max_outage_s",
    "max_failed": "max_failed",
    "max_cost": "max_cost",
    "max_total_tokens": "max_total_tokens",
    "deadline": "deadline",
    "share": "share",
}


def _stack(*options: Option) -> Option:
    def decorate(command: Command) -> Command:
        return functools.reduce(lambda inner, option: option(inner), reversed(options), command)

    return decorate


_question_options = _stack(
    click.option("--job", "job_file", metavar="FILE", help="Job file (TOML); flags override it."),
    click.option(
        "-p", "--prompt", metavar="TEMPLATE",
        help="User message, as a Jinja2 template over the columns: 'Translate: {{ text }}'. "
        "@FILE reads it from a file. Without it: the column messages, prompt or body.",
    ),
    click.option("-s", "--system", metavar="TEMPLATE", help="System message; likewise."),
)  # fmt: skip
_request_options = _stack(
    click.option(
        "--param", "params", multiple=True, metavar="NAME=VALUE",
        help="A parameter of the request, JSON or else text: --param temperature=0.2. Repeat it.",
    ),
    click.option("--provider", metavar="NAME", help="Default: model-studio."),
    click.option("--region", metavar="NAME", help="Default: the provider's, singapore."),
    click.option("--base-url", metavar="URL", help="Any OpenAI-compatible address instead."),
    click.option("--api-key-env", metavar="VAR", help="Variable that holds the API key."),
    click.option("--api-key-file", metavar="PATH", help="File that holds the API key alone."),
    click.option("--ca-file", metavar="PATH", help="Certificates to trust besides the system's."),
    click.option("--providers", "providers_file", metavar="FILE",
                 help="Own limits and prices (TOML), laid over the built-in tables."),
    click.option("--stream/--no-stream", default=None, help="Default: only where a model must."),
    click.option("--keep", metavar="COL,...", help="Input columns in the output; default: all."),
    click.option("--prefix", metavar="TEXT", help="Put before each output column's name."),
    click.option("--id-column", metavar="COL", help="The column that identifies a row."),
    click.option("-n", "--first", metavar="N|all", help="Only the first N rows."),
    click.option("--csv-delimiter", metavar="CHAR", help="Default: a comma."),
    click.option("--csv-encoding", metavar="NAME", help="Default: utf-8."),
)  # fmt: skip

job_options = _stack(
    _question_options,
    click.option("-m", "--model", metavar="NAME", help="Default: the provider's, qwen-plus."),
    _request_options,
)
# The same for a command that compares models.
job_options_for_models = _stack(
    _question_options,
    click.option(
        "-m", "--model", "models", multiple=True, metavar="NAME",
        help="Default: the provider's, qwen-plus. Repeat it to compare models.",
    ),
    _request_options,
)  # fmt: skip

limit_options = _stack(
    click.option("--qps", type=_POSITIVE, metavar="X", help="Requests per second; fractions too."),
    click.option("--rpm", type=_POSITIVE, metavar="N", help="Requests per minute, evenly paced."),
    click.option("--tpm", type=click.IntRange(1), metavar="N", help="Tokens per minute."),
    click.option("--concurrency", metavar="N|auto",
                 help="Most in flight; auto: as many as turn out to help."),
    click.option(
        "--max-attempts", type=click.IntRange(1), metavar="N",
        help="A row's tries, throttles and outages aside; default: 6.",
    ),
    click.option("--timeout", metavar="SECONDS", help="For one whole attempt; default: 600."),
    click.option("--max-outage", metavar="DURATION", help="Wait for a dead endpoint; default: 2h."),
    click.option(
        "--share", metavar="NAME",
        help="Runs on this machine that give the same name share these limits evenly.",
    ),
    click.option("--max-failed", metavar="N|X%", help="More failed rows than this stop the run."),
    click.option(
        "--max-cost", metavar="X|XCUR",
        help="Never spend more, over the run's whole life: 1.5 or 10CNY; none lifts it.",
    ),
    click.option("--max-total-tokens", metavar="N", help="Never use more, input and output."),
    click.option("--deadline", metavar="DURATION|TIME",
                 help="Begin nothing after it: 2h (from each start), 18:00 or 2026-11-25T08:00."),
)  # fmt: skip

format_option = click.option(
    "--format", type=click.Choice(["parquet", "csv", "jsonl"]),
    help="Of the parts in the run folder; default: parquet.",
)  # fmt: skip
quiet_option = click.option("--quiet", is_flag=True, help="Show only errors and the summary.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on stdout and nothing else."
)


def settings_of(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, as TOML-shaped settings. Raises JobError naming the flag."""
    from runner import read_value

    settings: dict[str, Any] = {
        name: flags[name] for name in _JOB_KEYS if flags.get(name) is not None
    }
    for name in ("prompt", "system"):
        if name in settings:
            settings[name] = read_value(settings[name])
    if flags.get("params"):
        settings["params"] = dict(_param(text) for text in flags["params"])
    if flags.get("keep") is not None:
        settings["keep"] = [name for name in flags["keep"].split(",") if name]
    if flags.get("first") is not None:
        settings["first"] = _first(flags["first"])
    limits = {key: flags[flag] for flag, key in _LIMIT_KEYS.items() if flags.get(flag) is not None}
    if limits:
        settings["limits"] = limits
    return settings


def _param(text: str) -> tuple[str, Any]:
    from runner import JobError, read_value

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise JobError(f"--param {text}: write NAME=VALUE, for example --param temperature=0.2")
    value = read_value(value)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _first(text: str) -> int | None:
    from runner import JobError

    if text == "all":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise JobError(f"-n {text}: give a number of rows, 1 or more, or 'all'")
    return int(text)


def merged(job_file: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """The job file's settings with the flags' laid over them."""
    from runner import read_job_file

    if job_file is None:
        return settings
    base = read_job_file(job_file)
    nested: dict[str, Any] = {
        name: {**base.get(name, {}), **settings.get(name, {})}
        for name in ("params", "limits")
        if isinstance(base.get(name, {}), dict) and (name in base or name in settings)
    }
    return {**base, **settings, **nested}
