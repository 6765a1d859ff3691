"""Every test that docs/guarantees.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "guarantees.md").read_text("utf-8")


def test_every_test_and_file_that_the_guarantees_name_exists() -> None:
    code = "\n".join(path.read_text("utf-8") for path in TESTS.glob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", code, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    assert sorted(named - defined) == []
    assert all((TESTS.parent / name).is_file() for name in re.findall(r"`(tests/\w+\.py)`", TEXT))


def test_no_promise_stands_without_its_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    promises = [line for line in rows if not re.match(r"\| (promise|fault) \|", line)]
    assert len(promises) > 20
    assert all("`test" in line or "`make" in line for line in promises)
