"""How counts, money, time and a run's end read to a person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner import DoubleIds, Summary

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_EXAMPLE = 160  # characters of a failure's message
_MOST_DAMAGED = 5  # files that are named; `plan` names them all


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 row`, `1,234 rows`, as the engine's own messages count."""
    from runner import counted as by_the_engine  # only now: `--help` needs no engine

    return by_the_engine(count, one, many)


def duration(seconds: float) -> str:
    """`4 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    for size, unit, small, name in (
        (_DAY_S, "d", _HOUR_S, "h"),
        (_HOUR_S, "h", _MINUTE_S, "min"),
        (_MINUTE_S, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    raise AssertionError("every number of seconds is handled above")


def double_ids_line(found: DoubleIds) -> str:
    """What an id column that tells not all rows apart means for them."""
    have = "has" if found.rows == 1 else "have"
    return (
        f"{counted(found.rows, 'row')} {have} an id (--id-column {found.column}) that an earlier "
        f"row has, first row {found.first} that of row {found.like}: answers are kept for each, "
        "but if the dataset changes their order decides whose is whose"
    )


def money(amount: float | None, currency: str | None) -> str:
    """`0.0123 USD`, with enough digits to see a cent's thousandth; `unknown` is never 0."""
    if amount is None:
        return "cost unknown"
    digits = 2 if amount >= 100 else 4 if amount >= 1 else 6
    return f"{amount:,.{digits}f} {currency or ''}".strip()


def spent(amount: float | None, currency: str | None, *, rehearsal: bool) -> str:
    """What was spent; of a rehearsal, what a provider would have billed."""
    return money(amount, currency) + (" (made up, not billed)" if rehearsal else "")


def limit_words(limited_by: str) -> str:
    """What holds a run back now, for its progress line."""
    if limited_by == "none":
        return "nothing holds it back"
    return f"limited by {'throttling' if limited_by == 'throttled' else limited_by}"


def fitted(parts: list[tuple[int, str]], width: int) -> str:
    """The parts, of which each comes with its importance (0 stays in any case), as one line.

    Those that matter least go first where the terminal is too narrow for all.
    """
    kept = list(parts)
    while len(line := ", ".join(text for _, text in kept)) > width:
        least = max(kept, key=lambda part: part[0])
        if least[0] == 0:
            break
        kept.remove(least)
    return line


def print_summary(summary: Summary) -> None:
    """The closing lines on stderr; the last one is the next command."""
    for line in summary_lines(summary):
        print(line, file=sys.stderr)


def summary_lines(summary: Summary) -> list[str]:
    """A run's counts, failures and end, and the next command as the last line."""
    tally = summary.tally
    rows = "?" if summary.rows is None else f"{summary.rows:,}"
    kind = " (a rehearsal: the answers are made up)" if summary.rehearsal else ""
    lines = [f"{summary.run}: {summary.state}{kind}"]
    if summary.message and summary.message != summary.state != "finished":
        lines.append(f"  {summary.message}")
    pending = "" if not summary.pending else f", {summary.pending:,} pending"
    lines.append(
        f"  rows      {rows}: {tally.succeeded:,} succeeded, {tally.failed:,} failed{pending}"
    )
    lines += _damaged(summary)
    for failure_kind, failure in sorted(tally.failures.items()):
        text = " ".join(failure.message.split())
        text = text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + "…"
        lines.append(f"    {failure.count:,} {failure_kind}, as row {failure.row}: {text}")
    retries = counted(tally.retries, "retry")
    lines.append(f"  requests  {tally.requests:,}, of them {retries}")
    if tally.total_tokens or tally.succeeded:  # without any answer there is nothing to count
        lines.append(
            f"  tokens    {tally.total_tokens:,}: {tally.prompt_tokens:,} in "
            f"({tally.cached_tokens:,} cached), {tally.completion_tokens:,} out "
            f"({tally.reasoning_tokens:,} reasoning)"
        )
    if tally.total_tokens:
        cost = spent(tally.cost, tally.currency, rehearsal=summary.rehearsal)
        lines.append(f"  cost      {cost.removeprefix('cost ')}")
    if summary.superseded is not None:
        before = summary.superseded
        cost = spent(before["cost"], before["currency"], rehearsal=summary.rehearsal)
        whose = f"{counted(before['rows'], 'answer')} no longer part of the output"
        if not before["rows"]:
            whose = f"{counted(before['requests'], 'request')} that brought no answer"
        tokens = counted(before["total_tokens"], "token")
        how = "for" if summary.rehearsal else "paid for"
        lines.append(f"  before    {cost} and {tokens} more, {how} {whose}")
    if compared := estimate_line(summary):
        lines.append(compared)
    lines += _budget(summary)
    lines += _warnings(summary)
    lines.append(f"  time      {_time(summary)}")
    where = summary.export or f"{summary.run.rstrip('/')}/completions/"
    if tally.rows and summary.state not in {"running", "waiting"}:
        lines.append(f"  output    {where}")
    if summary.next:
        lines.append(f"  next      {summary.next}")
    return lines


def _time(summary: Summary) -> str:
    """Of this start and, where there were others before, of all of them."""
    this, before = summary.elapsed_s, summary.elapsed_before_s
    if not before:
        return duration(this)
    return f"{duration(this)} since it was resumed, {duration(this + before)} in all"


def pilot_lines(summary: Summary) -> list[str]:
    """A finished pilot's counts, before the estimate that follows from them."""
    return [line for line in summary_lines(summary) if line.split()[0] not in {"next", "output"}]


def estimate_line(summary: Summary) -> str | None:
    """How the bill compares with what was estimated; None where nothing was, or it is not over."""
    said = summary.estimated
    if said is None or summary.state != "finished":
        return None
    low, high, unit = said["low"], said["high"], said["currency"]
    span = f"{money(low, None)} to {money(high, unit)}" if low < high else money(high, unit)
    own, billed = said.get("price_input"), summary.tally.cost
    if own is not None:
        billed = _at(summary, own, said["price_output"])
    if billed is None:
        return f"  estimated {span}; what was billed is unknown"
    if billed > high > 0:
        verdict = f"{billed / high - 1:.0%} above"
    elif billed < low:
        verdict = f"{1 - billed / low:.0%} below"
    else:
        verdict = "within"
    if own is not None:
        prices = f"your prices of {own:g} in and {said['price_output']:g} out"
        return f"  estimated {span}, {money(billed, unit)} by its tokens, at {prices}: {verdict}"
    cost = spent(billed, summary.tally.currency, rehearsal=summary.rehearsal)
    how = "rehearsed at" if summary.rehearsal else "billed"
    return f"  estimated {span}, {how} {cost}: {verdict}"


def _at(summary: Summary, price_input: float, price_output: float) -> float:
    """What the run's tokens cost at other prices, of 1,000,000 of them."""
    tally = summary.tally
    return (tally.prompt_tokens * price_input + tally.completion_tokens * price_output) / 1e6


def _damaged(summary: Summary) -> list[str]:
    lines = [f"  damaged   {flaw}" for flaw in summary.damaged[:_MOST_DAMAGED]]
    more = len(summary.damaged) - _MOST_DAMAGED
    return [*lines, f"  damaged   and {more:,} more"] if more > 0 else lines


def _budget(summary: Summary) -> list[str]:
    found = summary.budget or {}
    lines = []
    for name in ("cost", "tokens"):
        if name in found:
            one = found[name]
            spent, lost, left, most = (
                money(one[key], one["unit"]) if name == "cost" else counted(one[key], "token")
                for key in ("spent", "lost", "left", "most")
            )
            lines.append(f"  budget    {most}: {spent} spent, {lost} lost, {left} left")
    return lines


def _warnings(summary: Summary) -> list[str]:
    tally, lines = summary.tally, []
    may_be = "would be" if summary.rehearsal else "may be"
    before = summary.superseded["unmetered_attempts"] if summary.superseded is not None else 0
    if unmetered := tally.unmetered_attempts + before:
        lines.append(
            f"  unmetered {counted(unmetered, 'attempt')} {may_be} billed without known usage"
        )
    if summary.killed_attempts:
        lines.append(
            f"  killed    up to {counted(summary.killed_attempts, 'reply was', 'replies were')} on "
            f"the way when a process was killed or failed; that {may_be} billed too"
        )
    if tally.truncated:
        cut = counted(tally.truncated, "answer was cut", "answers were cut")
        lines.append(f"  cut       {cut} at the token limit")
    if len(tally.models) > 1:
        mixture = ", ".join(f"{model} {rows:,}" for model, rows in sorted(tally.models.items()))
        lines.append(f"  models    {mixture}: a mixture")
    return lines
