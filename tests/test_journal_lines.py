"""What comes back from a line of the journal, and which damage is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from some_results import any_bill, any_result, some_result

from runner.journal import decode_line, encode_line

if TYPE_CHECKING:
    from runner.records import Result, Unfinished


@given(any_result())
def test_every_result_comes_back_from_its_line(result: Result) -> None:
    line = encode_line(result)
    assert line.count(b"\n") == 1
    assert decode_line(line) == result


def test_a_result_of_megabytes_comes_back_from_its_line() -> None:
    result = some_result(completion="长\x00\n" * 1_000_000)
    assert decode_line(encode_line(result)) == result


@given(any_result(), st.data())
def test_one_changed_byte_is_noticed_wherever_it_is(result: Result, data: st.DataObject) -> None:
    line = bytearray(encode_line(result))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    assert decode_line(bytes(line)) is None


@given(any_bill())
def test_a_bill_is_read_as_it_was_written(bill: Unfinished) -> None:
    assert decode_line(encode_line(bill)) == bill
