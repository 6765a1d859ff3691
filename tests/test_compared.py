"""The facts behind a plan."""

from __future__ import annotations

from runner.compared import Names


def test_any_number_of_names_is_counted() -> None:
    names = Names()
    for number in range(70_000):
        names.add(f"model-{number}")
    names.add(None)
    names.add("model-69999")
    assert names.count([0, 65_536, 69_999, 70_000, 70_001]) == {
        "model-0": 1,
        "model-65536": 1,
        "model-69999": 2,
    }
