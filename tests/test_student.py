from __future__ import annotations

import pytest

from runner.estimate.student import student


# From the usual printed tables.
@pytest.mark.parametrize(
    ("freedom", "inside", "expected"),
    [
        (1, 0.95, 12.706),
        (2, 0.95, 4.303),
        (3, 0.95, 3.182),
        (4, 0.90, 2.132),
        (9, 0.95, 2.262),
        (30, 0.95, 2.042),
        (99, 0.95, 1.984),
        (120, 0.99, 2.617),
        (1000, 0.95, 1.962),
        (10**9, 0.95, 1.960),
    ],
)
def test_it_is_what_the_tables_say(freedom: int, inside: float, expected: float) -> None:
    assert student(freedom, inside) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("inside", [0.5, 0.93, 0.95, 0.99])
def test_sums_and_expansion_meet(inside: float) -> None:
    assert student(199, inside) == pytest.approx(student(200, inside), rel=3e-4)
    found = [student(freedom, inside) for freedom in range(1, 260)]
    assert found == sorted(found, reverse=True)
