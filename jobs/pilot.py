"""The pilot of an estimate: a few rows are really asked, after the question what they may cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from jobs.consent import ask_before_paying
from jobs.going import go_quietly
from jobs.opening import print_opening
from jobs.screen import Screen
from jobs.words import pilot_lines, print_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner import Job, Summary

_ANSWERED = frozenset({0, 1})  # exit statuses of a run in which every row has its result


def ask_pilot(
    job: Job,
    dataset: Sequence[str],
    name: str,
    *,
    rows: int,
    rehearse: bool,
    yes: bool,
    quiet: bool,
    providers_file: str | None,
    prices: dict[str, float | None],
) -> Summary:
    """Ask `rows` rows, spread over the dataset, and keep them in the run `name`; how it ended.

    Raises Refused where it may not begin, and JobError where nobody agrees to its price.
    """
    from runner import begin

    screen = Screen(quiet=quiet)
    run = begin(
        job,
        dataset,
        name,
        rehearsal=rehearse,
        pilot=rows,
        providers_file=providers_file,
        say=screen.say,
    )
    if not quiet:
        print_opening(run)
    ask_before_paying(run, yes=yes, quiet=quiet, prices=prices)
    summary = go_quietly(run, screen)
    if summary.exit_status not in _ANSWERED:
        print_summary(summary)
    elif not quiet:
        print(*pilot_lines(summary), "", sep="\n", file=sys.stderr)
    return summary
