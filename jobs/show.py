"""`penstock show`: requests as they were sent and their answers, row by row."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from jobs.options import json_option
from jobs.words import counted, duration, spent

if TYPE_CHECKING:
    from runner import Result, Shown, ShownRows

# On a terminal a text is cut here, where it fills about half a screen.
_SHOWN_CHARS = 1200
_SHOWN_LINES = 24

# A model's answer may hold anything; a terminal obeys these. Tab and newline stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@click.command()
@click.argument("run")
@click.option("--row", type=click.IntRange(0), metavar="N", help="This row alone, whole.")
@click.option("--failed", is_flag=True, help="Failed rows alone.")
@click.option(
    "-n", "most", type=click.IntRange(1), default=5, show_default=True, metavar="N",
    help="How many rows at the most.",
)  # fmt: skip
@json_option
def show(*, run: str, row: int | None, failed: bool, most: int, as_json: bool) -> int:
    """Show rows of RUN, a run folder or the file that -o named: what was asked, what came of it.

    The first rows that have a result; --failed shows why rows failed, --row N one row (counted from
    0, as in the output column). The key is never shown.
    """
    if row is not None and failed:
        raise click.UsageError("--row and --failed cannot be combined")
    from runner import RunFolderError, ShownRows, run_folder_of

    folder, _ = run_folder_of(run)
    there = folder.read_run()
    rows = ShownRows(folder, there)
    if row is None:
        found = rows.first(most, failed=failed)
    else:
        one = rows.row(row)
        if one is None:
            raise RunFolderError(f"--row {row}: {_no_such_row(rows, run)}")
        found = [one]
    if as_json:
        data: dict[str, Any] = {"run": run, "rows": [_to_json(one) for one in found]}
        if there.rehearsal:
            data["rehearsal"] = True
        print(json.dumps(data, ensure_ascii=False, default=str))
        return 0
    if not found:
        what = "no row has failed" if failed else "no row has a result yet"
        print(f"{run}: {what}", file=sys.stderr)
    cut = row is None and sys.stdout.isatty()
    for one in found:
        print("\n".join(_lines(one, run, cut=cut, rehearsal=there.rehearsal)), end="\n\n")
    return 0


def _no_such_row(rows: ShownRows, run: str) -> str:
    total = rows.total_rows
    if total is None:
        return f"{run} has no such row"
    return f"{run} has {counted(total, 'row')}, 0 to {total - 1:,}"


def _to_json(one: Shown) -> dict[str, Any]:
    result = {} if one.result is None else asdict(one.result)
    for name in ("row", "key", "unmetered_attempts"):
        result.pop(name, None)
    return {
        "row": one.row,
        "id": one.id,
        "status": one.status,
        "request": one.request,
        "request_is_as_sent": one.is_sent,
        "note": one.note,
        **result,
    }


def _lines(one: Shown, run: str, *, cut: bool, rehearsal: bool) -> list[str]:
    lines = [_heading(one, rehearsal=rehearsal)]
    if one.note:
        lines.append(f"  note: {_clean(one.note)}")
    if one.request is not None:
        text = json.dumps(one.request, ensure_ascii=False, indent=2)
        lines += _block("request", text, one.row, run, cut=cut)
    if one.result is not None:
        lines += _result_lines(one.result, run, cut=cut, rehearsal=rehearsal)
    return lines


def _heading(one: Shown, *, rehearsal: bool) -> str:
    parts = [f"row {one.row}"]
    if one.id is not None:
        parts.append(f"id {_clean(str(one.id))}")
    parts.append(one.status)
    if one.result is not None:
        result = one.result
        parts.append(counted(result.attempts, "attempt"))
        if result.latency_s is not None:
            first = f", first token {duration(result.ttft_s)}" if result.ttft_s else ""
            parts.append(f"{duration(result.latency_s)}{first}")
        if result.total_tokens is not None:
            parts.append(spent(result.cost, result.currency, rehearsal=rehearsal))
    return " · ".join(parts)


def _result_lines(result: Result, run: str, *, cut: bool, rehearsal: bool) -> list[str]:
    lines: list[str] = []
    if result.failed:
        code = f" ({result.error_code})" if result.error_code else ""
        lines += _block(f"error {result.error_type}{code}", result.error_message, result.row, run,
                        cut=cut)  # fmt: skip
    reason = f" (finish_reason {result.finish_reason})" if result.finish_reason else ""
    for title, text in (
        ("reasoning", result.reasoning),
        (f"completion{reason}", result.completion),
        ("tool_calls", result.tool_calls),
        ("choices", result.choices),
        ("rejected" if rehearsal else "rejected, though it may be billed", result.rejected),
    ):
        lines += _block(title, text, result.row, run, cut=cut)
    if result.total_tokens is not None:
        lines.append(
            f"  usage: {result.prompt_tokens:,} in ({result.cached_tokens:,} cached), "
            f"{result.completion_tokens:,} out ({result.reasoning_tokens:,} reasoning)"
        )
    ids = [f"{name} {value}" for name in ("model", "response_id", "request_id")
           if (value := getattr(result, name))]  # fmt: skip
    if ids:
        lines.append("  " + _clean(", ".join(ids)))
    return lines


def _block(title: str, text: str | None, row: int, run: str, *, cut: bool) -> list[str]:
    """A titled text, indented; on a terminal, its beginning."""
    if text is None:
        return []
    text = _clean(text)
    shown = "\n".join(text[:_SHOWN_CHARS].split("\n")[:_SHOWN_LINES]) if cut else text
    lines = [f"  {title}:", *(f"    {line}" for line in shown.split("\n"))]
    if len(shown) < len(text):
        rest = counted(len(text) - len(shown), "more character", "more characters")
        lines.append(f"    … {rest}: penstock show {shlex.quote(run)} --row {row}")
    return lines


def _clean(text: str) -> str:
    """The text with control characters made visible, lest a terminal obeys them."""
    text = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
