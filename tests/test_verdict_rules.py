"""The rules as a table: sound, and without a line that can never match."""

from __future__ import annotations

import re
from itertools import product

import pytest

from runner.job import Job
from runner.providers import Providers
from runner.records import Action
from runner.verdict import verdict
from runner.verdict.rules import REGIONS, RULES, Rule, plain_code


def test_codes_and_texts_are_written_as_they_are_compared() -> None:
    for rule in RULES:
        assert all(code == plain_code(code) for code in rule.codes or ())
        assert all(text == text.lower() for text in rule.texts or ())


def test_the_last_rule_matches_whatever_is_left() -> None:
    assert (RULES[-1].status, RULES[-1].codes, RULES[-1].texts) == (None, None, None)
    assert RULES[-1].action is Action.AGAIN


def test_every_rule_is_the_first_to_match_some_answer() -> None:
    for rule in RULES:
        answers = product(rule.status or (200, 400, 999), rule.codes or ("",), rule.texts or ("",))
        assert any(
            next(first for first in RULES if first.matches(*answer)) is rule for answer in answers
        ), rule


def test_error_types_are_words_that_the_decision_explains() -> None:
    explained = set(re.findall(r"[a-z_]+", verdict.__doc__ or ""))
    assert {rule.error_type for rule in RULES} <= explained


def test_whoever_stops_the_run_or_refuses_the_job_says_what_to_do() -> None:
    for rule in RULES:
        assert bool(rule.hint) == (rule.action in {Action.STOP, Action.CONFIG}), rule


def test_only_throttling_is_a_burst_and_only_asking_again_an_outage() -> None:
    assert all(rule.action is Action.THROTTLED for rule in RULES if rule.burst)
    assert all(rule.action is Action.AGAIN for rule in RULES if rule.outage)


def test_the_regions_named_to_a_person_exist() -> None:
    providers = Providers.load()
    known = providers.regions(Job().provider)
    assert set(REGIONS) <= set(known)


@pytest.mark.parametrize(
    "code", ["limit_requests", "LimitRequests", "limitrequests", "LIMIT_REQUESTS", "Limit.Requests"]
)
def test_a_code_has_one_spelling(code: str) -> None:
    assert plain_code(code) == "limitrequests"


def test_a_rule_wants_all_of_its_conditions() -> None:
    rule = Rule(Action.FAIL, "other", frozenset({400}), frozenset({"a"}), ("x", "y"))
    assert rule.matches(400, "a", "it is y")
    assert not rule.matches(401, "a", "it is y")
    assert not rule.matches(400, "b", "it is y")
    assert not rule.matches(400, "a", "it is z")
