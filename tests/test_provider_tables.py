from __future__ import annotations

import time
from typing import Any

import pytest

from runner.errors import JobError
from runner.providers.tables import built_in, entry, laid_over, relatives

STUDIO: dict[str, Any] = built_in()["model-studio"]


def leaves() -> list[tuple[str, str, dict[str, Any]]]:
    limits = [(f"limits.{region}", "limit", leaf) for region, leaf in STUDIO["limits"].items()]
    prices = [
        (f"prices.{region}.{currency}", "price", leaf)
        for region, by_currency in STUDIO["prices"].items()
        for currency, leaf in by_currency.items()
    ]
    return limits + prices


def test_every_figure_has_a_date_and_a_source_and_belongs_to_a_listed_model() -> None:
    figures = 0
    for _, kind, leaf in leaves():
        for name in leaf.keys() - {"as_of", "source"}:
            _, as_of, source = entry(leaf, name, kind)
            assert as_of.startswith("2026-"), name
            assert source, name
            assert name in STUDIO["models"]
            figures += 1
    assert figures > 100


def test_every_name_that_is_referred_to_exists() -> None:
    models = STUDIO["models"]
    for name, flags in models.items():
        assert set(relatives(models, name, "limits_like", "like")) <= set(models)
        assert flags.get("thinking", "off") in {"off", "on", "only", "never"}
        assert flags.get("stream", "only") in {"only", "thinking"}
    for ended in STUDIO["retired"].values():
        assert ended["source"]
        assert set(ended["models"]) <= set(models)
    for region in ("beijing", "singapore"):
        assert set(STUDIO["batch"][region]) <= set(models)
    for region in STUDIO["regions"].values():
        assert region.get("facts", "singapore") in STUDIO["limits"]


def test_singapores_dollars_and_yuan_are_the_same_prices() -> None:
    dollars, yuan = STUDIO["prices"]["singapore"]["USD"], STUDIO["prices"]["singapore"]["CNY"]

    def amounts(figures: list[Any]) -> list[float]:
        rows = [row[1:] for row in figures] if isinstance(figures[0], list) else [figures]
        return [float(amount) for row in rows for amount in row]

    compared = 0
    for name in yuan.keys() - {"as_of", "source"}:
        for in_dollars, in_yuan in zip(amounts(dollars[name]), amounts(yuan[name]), strict=True):
            assert in_yuan / in_dollars == pytest.approx(7.34, rel=0.01), name
            compared += 1
    assert compared > 40


def test_reading_the_tables_costs_little_at_start_up() -> None:
    built_in.cache_clear()
    start = time.process_time()
    built_in()
    assert time.process_time() - start < 0.1  # measured 0.003 s; a tenth is a slow machine's


def test_tables_are_merged_and_all_else_is_replaced() -> None:
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    above = {"a": {"y": [9]}, "b": {"z": 1}}
    assert laid_over(below, above) == {"a": {"x": 1, "y": [9]}, "b": {"z": 1}}
    assert below == {"a": {"x": 1, "y": [1, 2]}, "b": 3}


def test_models_that_refer_to_each_other_end() -> None:
    models = {"a": {"like": "b"}, "b": {"like": "a"}}
    assert list(relatives(models, "a", "like")) == ["a", "b"]


def test_the_first_reference_of_several_counts() -> None:
    models = {"a": {"like": "c", "limits_like": "b"}, "b": {"like": "c"}}
    assert list(relatives(models, "a", "limits_like", "like")) == ["a", "b", "c"]
    assert list(relatives(models, "a", "like")) == ["a", "c"]


def test_an_entry_without_its_figure_is_an_error() -> None:
    with pytest.raises(JobError, match="m has no 'price'"):
        entry({"m": {"cost": 1}}, "m", "price")
