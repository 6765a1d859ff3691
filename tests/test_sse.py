"""Server-sent events out of bytes, however they were cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.client.sse import EventReader


def read(*chunks: bytes) -> list[bytes]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.end()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),  # one blank belongs to the field, the rest to the data
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\ndata: b\n\n", [b"\nb"]),
        (b": a comment\n\ndata: a\n\n", [b"a"]),
        (b": one\ndata: a\n: two\ndata: b\n\n", [b"a\nb"]),
        (b"id:1\nevent:error\n:HTTP_STATUS/400\ndata:{}\n\n", [b"{}"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"database: a\n\n", []),
        (b"\n\n\n", []),
        (b"", []),
        (b"data: a", [b"a"]),  # servers leave out the blank line after the last event
        (b"data: a\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a", [b"a"]),
        ("data: 你好\n\n".encode(), ["你好".encode()]),
    ],
)
def test_reads_events_as_the_format_says(stream: bytes, events: list[bytes]) -> None:
    assert read(stream) == events
    assert read(*(bytes([byte]) for byte in stream)) == events


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"", b": keep-alive", b"data: [DONE]", b"data:", b"event: x", b"\xef\xbb\xbf"]
        ),
        st.text(alphabet="ab 你好😀:", max_size=8).map(lambda text: b"data: " + text.encode()),
    ),
    max_size=12,
)


@given(
    lines=LINES,
    ending=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
def test_any_cut_gives_the_same_events(lines: list[bytes], ending: bytes, cuts: list[int]) -> None:
    stream = ending.join((*lines, b"", b""))
    at = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(at)]
    assert read(*chunks) == read(stream)


@given(
    lines=LINES,
    endings=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=14, max_size=14),
)
def test_line_endings_may_be_mixed(lines: list[bytes], endings: list[bytes]) -> None:
    # A "\r" before an empty line that ends in "\n" would be one ending, not two.
    calm = [b"\n" if ending == b"\r" else ending for ending in endings]
    mixed = b"".join(line + end for line, end in zip(lines, calm, strict=False))
    assert read(mixed) == read(b"".join(line + b"\n" for line in lines))


def test_an_event_is_given_as_soon_as_its_end_has_come() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\r\n\r") == [b"a"]
    assert reader.feed(b"\ndata: b\r\n") == []
    assert reader.feed(b"\r\n") == [b"b"]
    assert reader.end() == []
