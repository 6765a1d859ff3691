"""How much of a prompt has the provider seen before?"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from runner.simulator.model import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_TOKENS: Final = 256  # the provider caches nothing shorter (context-cache page)
_KEPT: Final = 10_000


class PromptCache:
    """The implicit cache: what stands before the last message, once it was asked before.

    Constant memory; the least recently used prefix goes first.
    """

    def __init__(self, count_tokens: Callable[[str], int]) -> None:
        self._count = count_tokens
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def cached_tokens(self, body: dict[str, Any]) -> int:
        """Tokens of the prefix that are billed at the cache's price; remembers the prefix."""
        prefix = "".join(text_of(message.get("content")) for message in body["messages"][:-1])
        if len(prefix) < _LEAST_TOKENS:  # a token is at least one character under either rule
            return 0
        tokens = self._count(prefix)
        if tokens < _LEAST_TOKENS:
            return 0
        mark = blake2b(f"{body['model']}\0{prefix}".encode(), digest_size=16).digest()
        known = mark in self._seen
        self._seen[mark] = None
        self._seen.move_to_end(mark)
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return tokens if known else 0
