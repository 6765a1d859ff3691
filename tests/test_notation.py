from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from runner.notation import as_written, parse_duration_s, parse_moment, parse_money

NOW = datetime(2026, 11, 24, 14, 0).astimezone()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800), ("2d", 172800)]
)
def test_a_duration_is_seconds_or_has_units(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [("1.5", "1.5", None), ("1.5USD", "1.5", "USD"), (" 10 cny ", "10", "CNY")],
)
def test_money_is_an_amount_and_perhaps_its_currency(
    text: str, amount: str, currency: str | None
) -> None:
    assert parse_money(text) == (Decimal(amount), currency)


@pytest.mark.parametrize("text", ["", "0", "0.0 USD", "-1", "1,5", "$1", "1 US", "one", "1e3", "٣"])
def test_what_is_no_amount_of_money_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of money above 0"):
        parse_money(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("2h", "2026-11-24T16:00:00"),
        ("90", "2026-11-24T14:01:30"),
        ("18:00", "2026-11-24T18:00:00"),
        ("9:30", "2026-11-25T09:30:00"),
        ("14:00", "2026-11-25T14:00:00"),
        ("14:00:01", "2026-11-24T14:00:01"),
        ("2026-11-25T08:00", "2026-11-25T08:00:00"),
        ("2026-11-25 08:00", "2026-11-25T08:00:00"),
        ("2026-11-25", "2026-11-25T00:00:00"),
    ],
)
def test_a_moment_is_a_duration_from_now_a_time_of_day_or_a_date(text: str, local: str) -> None:
    assert parse_moment(text, NOW) == datetime.fromisoformat(local).astimezone()


def test_a_moment_may_name_its_zone() -> None:
    assert parse_moment("2026-11-25T08:00+08:00", NOW) == datetime(2026, 11, 25, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "25:00", "2026-13-01", "2 fortnights"])
def test_what_is_no_moment_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a duration|hour must be"):
        parse_moment(text, NOW)


def test_times_of_a_job_file_are_the_text_that_means_them() -> None:
    assert as_written(time(18, 0)) == "18:00:00"
    assert as_written(date(2026, 11, 25)) == "2026-11-25"
    assert as_written(90) == 90
