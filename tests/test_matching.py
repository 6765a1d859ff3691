"""Whose answer is whose, when a dataset or a job has changed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.matching import Answered, Kind, Matching, Rows, match

_WORDS = {Kind.NEW: "new", Kind.REUSED: "reused", Kind.OTHER_JOB: "job", Kind.OTHER_INPUT: "input"}


def _packed(text: str) -> bytes:
    return text.encode().rjust(16, b"\0") if text != "-" else bytes(16)


def rows_of(keys: str, ids: str = "") -> Rows:
    """Rows by one letter a key, one letter an id; "-" has none."""
    rows = Rows()
    rows.keys += b"".join(map(_packed, keys))
    rows.ids += b"".join(map(_packed, ids))
    return rows


def answered(keys: str, ids: str = "") -> Answered:
    """Likewise rows with an answer; at "." is a row without one."""
    found = Answered()
    for place, key in enumerate(keys):
        if key != ".":
            found.places.append(place)
            found.keys += _packed(key)
            if ids:
                found.ids += _packed(ids[place])
    return found


def told(old: Answered, found: Matching) -> list[str]:
    """Each row as its kind and the old place of its answer: `reused 3`, `new`."""
    return [
        _WORDS[Kind(kind)] + (f" {old.places[at]}" if at >= 0 else "")
        for kind, at in zip(found.kinds, found.source, strict=True)
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected", "gone"),
    [
        ("", "ab", "new, new", 0),
        ("ab", "", "", 2),
        ("abc", "abc", "reused 0, reused 1, reused 2", 0),
        ("a.c", "abc", "reused 0, new, reused 2", 0),
        ("abc", "abcd", "reused 0, reused 1, reused 2, new", 0),
        ("abc", "axc", "reused 0, input 1, reused 2", 0),
        ("abc", "cab", "reused 2, reused 0, reused 1", 0),
        ("abc", "bc", "reused 1, reused 2", 1),
        ("abc", "xabc", "new, reused 0, reused 1, reused 2", 0),
        ("aaa", "aaaa", "reused 0, reused 1, reused 2, new", 0),
        ("aaa", "aa", "reused 0, reused 1", 1),
        (".a", "aa", "new, reused 1", 0),
        ("aba", "baa", "reused 1, reused 0, reused 2", 0),
        ("ab", "xxa", "new, input 1, reused 0", 0),
        ("a-", "a-", "reused 0, input 1", 0),
    ],
)
def test_without_ids_keys_count_then_the_same_place(
    old: str, new: str, expected: str, gone: int
) -> None:
    before = answered(old)
    found = match(before, rows_of(new))
    assert ", ".join(told(before, found)) == expected
    assert found.gone == gone


@pytest.mark.parametrize(
    ("old", "new", "expected", "gone"),
    [
        (("abc", "123"), ("cab", "312"), "reused 2, reused 0, reused 1", 0),
        (("abc", "123"), ("axc", "123"), "reused 0, input 1, reused 2", 0),
        (("abc", "123"), ("xc", "23"), "input 1, reused 2", 1),
        (("aa", "12"), ("aaa", "132"), "reused 0, new, reused 1", 0),
        (("ab", "12"), ("ab", "34"), "new, new", 2),
        (("ab", "11"), ("ba", "11"), "reused 1, reused 0", 0),
        ((".b", "11"), ("ab", "11"), "new, reused 1", 0),
        (("abc", "111"), ("xyc", "111"), "input 0, input 1, reused 2", 0),
        (("ab", "1-"), ("ab", "1-"), "reused 0, new", 1),
    ],
)
def test_with_ids_a_row_is_known_by_its_id_wherever_it_stands(
    old: tuple[str, str], new: tuple[str, str], expected: str, gone: int
) -> None:
    before = answered(*old)
    found = match(before, rows_of(*new))
    assert ", ".join(told(before, found)) == expected
    assert found.gone == gone


@pytest.mark.parametrize(
    ("old", "new", "as_before", "expected"),
    [
        (("abc", ""), ("xyz", ""), ("abc", ""), "job 0, job 1, job 2"),
        (("abc", ""), ("xyz", ""), ("cab", ""), "job 2, job 0, job 1"),
        (("abc", ""), ("xyz", ""), ("abq", ""), "job 0, job 1, input 2"),
        (("ab", "12"), ("yx", "21"), ("ba", "21"), "job 1, job 0"),
        (("ab", "12"), ("xy", "12"), ("aq", "12"), "job 0, input 1"),
        (("ab", ""), ("ay", ""), ("ab", ""), "reused 0, job 1"),
    ],
)
def test_another_job_is_told_from_another_input(
    old: tuple[str, str], new: tuple[str, str], as_before: tuple[str, str], expected: str
) -> None:
    before = answered(*old)
    assert ", ".join(told(before, match(before, rows_of(*new), rows_of(*as_before)))) == expected


def test_ids_that_one_side_lacks_do_not_count() -> None:
    before = answered("ab")
    assert told(before, match(before, rows_of("ba", "12"))) == ["reused 1", "reused 0"]


@given(st.text("abc.", max_size=12), st.text("abc", max_size=12))
def test_as_many_answers_are_reused_as_equal_keys_allow(old: str, new: str) -> None:
    before = answered(old)
    found = match(before, rows_of(new))
    common = Counter(old.replace(".", "")) & Counter(new)
    assert found.count(Kind.REUSED) == common.total()
    used = [at for at in found.source if at >= 0]
    assert len(used) == len(set(used)), "no answer goes to two rows"
    assert len(used) + found.gone == len(before)
    for row, at in enumerate(found.source):
        if found.kinds[row] == Kind.REUSED:
            assert old[before.places[at]] == new[row]


def test_many_equal_rows_cost_no_more_than_different_ones() -> None:
    before = answered("a" * 20_000)
    found = match(before, rows_of("b" + "a" * 20_000))
    assert found.count(Kind.REUSED) == 20_000


def test_any_order_of_different_rows_is_found_again() -> None:
    seed = 7
    source = random.Random(seed)
    keys = [source.randbytes(16) for _ in range(2000)]
    before, after = Answered(), Rows()
    for place, key in enumerate(keys):
        before.places.append(place)
        before.keys += key
    order = source.sample(range(2000), 2000)
    for place in order:
        after.keys += keys[place]
    found = match(before, after)
    assert list(found.source) == order, seed
