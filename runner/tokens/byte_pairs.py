"""Counts tokens by byte pair ranks: a *.tiktoken file under tiktoken."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# The Qwen vocabulary, and the pattern of dashscope's qwen_tokenizer.py.
_QWEN_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
_QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The one special token that is known, and nothing is ever allowed to be it: a text that looks like
# one is text. Without any tiktoken would look for the empty one, at every place of a text.
_PROBE = "<|a text that looks like a special token|>"
_NOTHING: set[str] = set()

# tiktoken's recursion overflows its stack on runs of about a million blanks.
_LONGEST_CHARS = 100_000
_CUTS = frozenset(' \n\t,.;:!?()[]{}<>"/\\-+*=_#|0123456789，。、；：！？（）「」《》')


class Ranks:
    """Byte pair ranks under tiktoken, split by Qwen's pattern. A `Tokenizer`."""

    def __init__(self, encoding: Any, name: str, error_share: float) -> None:
        self._encode = encoding.encode_ordinary
        self._buffered = _buffered(encoding)
        self.name = name
        self.error_share = error_share
        self.exact = error_share == 0

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; one that looks like a special token counts as text."""
        if not all(map(str.isascii, texts)):
            normalized = unicodedata.normalize
            texts = [normalized("NFC", text) for text in texts]
        if max(map(len, texts), default=0) > _LONGEST_CHARS:
            return [sum(self._lengths(list(_pieces(text)))) for text in texts]
        return self._lengths(texts)

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        encode, buffered, nothing = self._encode, self._buffered, _NOTHING
        if buffered is not None:
            try:
                return [memoryview(buffered(text, nothing)).nbytes // 4 for text in texts]
            except UnicodeEncodeError:  # half a surrogate pair, which `encode` mends
                pass
        return [len(encode(text)) for text in texts]


def _buffered(encoding: Any) -> Callable[[str, set[str]], Any] | None:
    """Tokens as a buffer of 32-bit numbers; None in a tiktoken that does not give them so.

    A twelfth faster than a list of numbers, which nobody reads here. Its second argument are
    special tokens to be found in the text: none.
    """
    buffered: Callable[[str, set[str]], Any] | None
    buffered = getattr(getattr(encoding, "_core_bpe", None), "encode_to_tiktoken_buffer", None)
    try:
        # It is tiktoken's inside, that `encode_to_numpy` stands on, so it is tried before use.
        fits = buffered is not None and memoryview(buffered(_PROBE, _NOTHING)).nbytes == 4 * len(
            encoding.encode_ordinary(_PROBE)
        )
    except TypeError:
        return None
    return buffered if fits else None


def _pieces(text: str) -> Iterator[str]:
    """A long text cut where the pattern cuts too: between a letter and what is no letter.

    A piece without such a place (100,000 letters or blanks on end) is cut anywhere, which may cost
    a token a cut.
    """
    start = 0
    while len(text) - start > _LONGEST_CHARS:
        end = start + _LONGEST_CHARS
        for place in range(end, start + _LONGEST_CHARS // 2, -1):
            if text[place] in _CUTS and text[place - 1].isalpha():
                end = place
                break
        yield text[start:end]
        start = end
    yield text[start:]


@cache
def load_ranks(path: Path) -> tuple[Any, bool]:
    """The encoding of a .tiktoken file, and whether it is the Qwen vocabulary that is known."""
    content = path.read_bytes()
    try:
        ranks = _ranks(content)
    except ValueError as error:
        raise JobError(
            f"--tokenizer {path}: not a .tiktoken file, whose lines are a token in base64 and its "
            f"rank: {error}"
        ) from None
    encoding = import_module("tiktoken").Encoding(
        path.stem,
        pat_str=_QWEN_PATTERN,
        mergeable_ranks=ranks,
        special_tokens={_PROBE: max(ranks.values()) + 1},
    )
    return encoding, hashlib.sha256(content).hexdigest() == _QWEN_SHA256


def _ranks(content: bytes) -> dict[bytes, int]:
    """Token to rank. Raises ValueError where tiktoken would panic, which nobody could catch."""
    pairs = (line.split() for line in content.splitlines() if line)
    ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    if len(set(ranks.values())) < len(ranks):
        raise ValueError("a rank stands twice")
    if not all(bytes([byte]) in ranks for byte in range(256)):
        raise ValueError("a single byte has no rank")
    return ranks
