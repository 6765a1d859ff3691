"""Which results are asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from some_results import some_failure, some_result

from runner.asked_again import Retry
from runner.tally import Tally

if TYPE_CHECKING:
    from runner.records import Result

CUT = some_result(finish_reason="length")
EMPTY = some_result(completion="")
TOOLS = some_result(completion=None, tool_calls='[{"id":"t"}]')
CUT_AND_EMPTY = some_result(completion=None, finish_reason="length")


@pytest.mark.parametrize(
    ("kinds", "result", "taken"),
    [
        (["failed"], some_failure(), True),
        (["failed"], some_result(), False),
        (["failed"], CUT, False),
        (["timeout"], some_failure(), True),
        (["timeout"], some_failure(error_type="server_error"), False),
        (["server_error", "timeout"], some_failure(), True),
        (["length"], CUT, True),
        (["length"], some_failure(finish_reason="length"), False),
        (["length"], EMPTY, False),
        (["empty"], EMPTY, True),
        (["empty"], TOOLS, False),
        (["empty"], CUT_AND_EMPTY, True),
        (["empty"], some_failure(), False),
        (["failed", "length", "empty"], some_result(), False),
    ],
)
def test_only_the_kinds_that_were_named_are_asked_again(
    kinds: list[str], result: Result, *, taken: bool
) -> None:
    retry = Retry(kinds, None)
    assert retry.takes(result) is taken
    tally = Tally()
    tally.add(result)
    assert retry.may_take_from(tally) is taken
    tally.add(some_result(1))
    assert retry.may_take_from(tally) is taken


def test_kinds_that_no_result_is_of_are_told_apart() -> None:
    tally = Tally()
    for result in (some_failure(), CUT):
        tally.add(result)
    retry = Retry(["failed", "typo", "length", "empty", "timeout"], None)
    assert retry.missing_in(tally) == ["typo", "empty"]
