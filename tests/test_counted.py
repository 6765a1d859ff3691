"""Numbers of things in messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.counted import counted

ROOT = Path(__file__).parent.parent

# A number, then a word that would have to become one where the number is 1.
OWN_PLURAL = re.compile(
    r"\{[^{}]*:,\} (?:more )?(rows|answers|attempts|replies|requests|retries|files|lines|cells|"
    r"characters|bytes|fields|tokens)\b"
)
# Numbers that are never 1: limits, and floors of what is reported at all.
NEVER_ONE = {
    "jobs/control.py",
    "jobs/estimate_words.py",  # a tier's tokens
    "jobs/opening.py",  # the first row is said otherwise
    "jobs/rehearsal_words.py",  # a million rows are rehearsed, and the rest scaled
    "runner/dataset/batches.py",
    "runner/estimate/measured.py",
    "runner/estimate/row_sample.py",
    "runner/estimate/sum_up.py",
    "runner/limits/gate.py",
    "runner/pacing.py",
}


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (1, ("row",), "1 row"),
        (0, ("row",), "0 rows"),
        (12_345, ("row",), "12,345 rows"),
        (3, ("retry",), "3 retries"),
        (1, ("reply is", "replies are"), "1 reply is"),
        (2, ("reply is", "replies are"), "2 replies are"),
    ],
)
def test_one_is_singular_and_everything_else_plural(
    count: int, words: tuple[str, ...], text: str
) -> None:
    assert counted(count, *words) == text


def test_no_message_makes_a_plural_of_its_own() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for package in ("runner", "jobs")
        for path in sorted((ROOT / package).glob("**/*.py"))
        if str(path.relative_to(ROOT)) not in NEVER_ONE
        for match in OWN_PLURAL.finditer(path.read_text("utf-8"))
    ]
    assert not found, "say it with runner.counted:\n" + "\n".join(found)
