"""The measure that the pacing tests trust."""

from __future__ import annotations

from windows import fullest, most_in_a_second


def test_finds_the_fullest_second_wherever_it_begins() -> None:
    assert most_in_a_second([0.0, 0.9, 1.1, 1.2, 1.85, 3.0]) == 4


def test_a_window_is_open_at_its_beginning() -> None:
    assert most_in_a_second([0.0, 1.0, 2.0]) == 1


def test_amounts_are_summed() -> None:
    assert fullest([(0, 10), (30, 5), (60, 7), (61, 1)], 60) == 15


def test_nothing_is_zero() -> None:
    assert most_in_a_second([]) == 0
