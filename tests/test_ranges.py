from __future__ import annotations

from runner.estimate.ranges import Range


def test_ends_are_added_and_multiplied_each_for_itself() -> None:
    assert Range(1, 5) + Range(10, 20) == Range(11, 25)
    assert Range(1, 5) * 2 == Range(2, 10)


def test_json_holds_whole_numbers_unless_digits_are_asked_for() -> None:
    assert Range(1.4, 5.6).to_json() == {"low": 1, "high": 6}
    assert Range(1.44, 5.66).to_json(1) == {"low": 1.4, "high": 5.7}
