"""What is there to ask? Rows become counts: how many requests, of what kind, with how many tokens.

Counts instead of rows keep memory flat, and yet price every request at its own tier: the cost of a
request is linear in its tokens as long as its tier is known, so a sum for each tier is enough.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.dataset import make_rows
from runner.errors import FailsRow
from runner.estimate.prompt_reading import PromptReader
from runner.estimate.row_sample import Weighed
from runner.tally import Failure
from runner.tokens import guess_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.estimate.prompt_reading import Kind, Prompt
    from runner.records import Request, Row
    from runner.tokens import Tokenizer

    FillByColumn = Callable[[Mapping[str, Sequence[Any]]], list[str] | None]
    # Requests and their prompts -> tokens of each prompt
    Measure = Callable[[Sequence[Request], Sequence[Prompt]], list[int]]


@dataclass(slots=True)
class Cell:
    """Requests of one kind whose prompts lie between the same two bounds."""

    requests: int = 0
    tokens: int = 0  # of their prompts
    squares: int = 0  # of each prompt's tokens, summed: a sample's error is computed from them


@dataclass(slots=True)
class Census:
    """Counts over rows. Made by `Counting` in any process, merged and consumed by `estimate`."""

    rows: int = 0  # looked at
    cells: dict[tuple[Kind, int], Cell] = field(default_factory=dict)  # by kind and bound
    unsent: dict[str, Failure] = field(default_factory=dict)  # rows that fail here, by error_type
    inexact: dict[str, int] = field(default_factory=dict)  # requests by what cannot be counted
    longest: int = 0  # prompt, in tokens

    @property
    def requests(self) -> int:
        """Rows that will be sent."""
        return sum(cell.requests for cell in self.cells.values())

    @property
    def tokens(self) -> int:
        """Of all prompts."""
        return sum(cell.tokens for cell in self.cells.values())

    def weighed(self, weigh: Callable[[Kind, Cell], tuple[float, float]]) -> Weighed:
        """A sum over all requests; `weigh` gives what a prompt token and a request count for."""
        total = squares = 0.0
        for (kind, _), cell in self.cells.items():
            token, request = weigh(kind, cell)
            total += token * cell.tokens + request * cell.requests
            squares += (
                token * token * cell.squares
                + 2 * token * request * cell.tokens
                + request * request * cell.requests
            )
        return Weighed(total, squares)

    def fail(self, error_type: str, failure: Failure) -> None:
        """Count rows that will never be sent."""
        seen = self.unsent.setdefault(error_type, Failure(0, failure.row, failure.message))
        seen.count += failure.count
        if failure.row < seen.row:
            seen.row, seen.message = failure.row, failure.message

    def add(self, kind: Kind, bound: int, cell: Cell) -> None:
        """Count requests of one kind."""
        known = self.cells.setdefault((kind, bound), Cell())
        known.requests += cell.requests
        known.tokens += cell.tokens
        known.squares += cell.squares

    def merge(self, other: Census) -> None:
        """Count all that another census counted."""
        self.rows += other.rows
        self.longest = max(self.longest, other.longest)
        for (kind, bound), cell in other.cells.items():
            self.add(kind, bound, cell)
        for error_type, failure in other.unsent.items():
            self.fail(error_type, failure)
        for part, requests in other.inexact.items():
            self.inexact[part] = self.inexact.get(part, 0) + requests


class Chunk(NamedTuple):
    """Rows by column, as they travel to the process that counts them."""

    positions: Sequence[int]  # of each row in the dataset
    cells: Mapping[str, Sequence[Any]]  # by column
    flaws: Mapping[int, str]  # by offset, which rows are none, and why


class Alike:
    """Requests of which one text alone differs: counted by that text, without a body.

    `fill` gives the texts of rows by column, or None where rows must be looked at one by one.
    """

    def __init__(self, fill: FillByColumn, tokenizer: Tokenizer) -> None:
        self._fill = fill
        self._tokenizer = tokenizer
        self._rest: Prompt | None = None  # any of the requests; None before one has been seen
        self._rest_tokens = 0  # of all but the text that differs

    def learn(self, chunk: Chunk, fill: Callable[[Row], Request]) -> None:
        """See the first request among some rows, if there is one."""
        for offset, position in enumerate(chunk.positions):
            cells = {name: column[offset : offset + 1] for name, column in chunk.cells.items()}
            texts = None if offset in chunk.flaws else self._fill(cells)
            if texts is not None:
                request = fill(make_rows([position], cells, {})[0])
                prompt = PromptReader().read(request)
                whole = prompt.around + sum(self._tokenizer.count(prompt.texts))
                self._rest = prompt
                self._rest_tokens = whole - self._tokenizer.count(texts)[0]
                return

    def measure(self, chunk: Chunk) -> tuple[Prompt, list[int]] | None:
        """What the requests of rows have in common, and the tokens of each; None: look at each."""
        if self._rest is None or chunk.flaws:
            return None
        texts = self._fill(chunk.cells)
        if texts is None:
            return None
        rest = self._rest_tokens
        return self._rest, [rest + tokens for tokens in self._tokenizer.count(texts)]


class Counting:
    """Fills the template for rows and counts their prompts.

    `bounds` are prompt lengths, ascending: requests up to the first, the second and so on are
    counted apart, the longer ones as the last. With `alike` rows are filled by column where that
    finds the same.
    """

    def __init__(
        self,
        fill: Callable[[Row], Request],
        measure: Measure,
        bounds: Sequence[int],
        alike: Alike | None = None,
    ) -> None:
        self._fill = fill
        self._measure = measure
        self._bounds = list(bounds)
        self._alike = alike

    def count_chunk(self, chunk: Chunk) -> Census:
        """The census of some rows, by column where that may be done."""
        found = self._alike.measure(chunk) if self._alike is not None else None
        if found is not None:
            return self._count_alike(*found)
        if self._alike is not None:
            self._alike.learn(chunk, self._fill)
        return self.count(make_rows(*chunk))

    def _count_alike(self, prompt: Prompt, tokens: list[int]) -> Census:
        census = Census(rows=len(tokens), longest=max(tokens, default=0))
        census.inexact = dict.fromkeys(prompt.inexact, len(tokens))
        self._add(census, prompt.kind, tokens)
        return census

    def count(self, rows: Iterable[Row]) -> Census:
        """The census of rows, looked at one by one."""
        census = Census()
        requests: list[Request] = []
        for row in rows:
            census.rows += 1
            try:
                requests.append(self._fill(row))
            except FailsRow as flaw:
                census.fail(flaw.error_type, Failure(1, row.index, flaw.message))
        reader = PromptReader()
        prompts = [reader.read(request) for request in requests]
        tokens = self._measure(requests, prompts)
        census.longest = max(tokens, default=0)
        by_kind: dict[Kind, list[int]] = {}
        for prompt, count in zip(prompts, tokens, strict=True):
            by_kind.setdefault(prompt.kind, []).append(count)
            for part in prompt.inexact:
                census.inexact[part] = census.inexact.get(part, 0) + 1
        for kind, counts in by_kind.items():
            self._add(census, kind, counts)
        return census

    def _add(self, census: Census, kind: Kind, counts: list[int]) -> None:
        counts.sort()  # so that each bound is looked up once
        start = 0
        while start < len(counts):
            bound = bisect_left(self._bounds, counts[start])
            stop = len(counts)
            if bound < len(self._bounds):
                stop = bisect_right(counts, self._bounds[bound], start)
            here = counts[start:stop]
            squares = sum(count * count for count in here)
            census.add(kind, bound, Cell(len(here), sum(here), squares))
            start = stop


def by_tokenizer(tokenizer: Tokenizer) -> Measure:
    """Counts each text once: a system message that all rows share costs next to nothing."""

    def measure(requests: Sequence[Request], prompts: Sequence[Prompt]) -> list[int]:
        del requests
        texts = list(dict.fromkeys(text for prompt in prompts for text in prompt.texts))
        tokens = dict(zip(texts, tokenizer.count(texts), strict=True))
        return [prompt.around + sum([tokens[text] for text in prompt.texts]) for prompt in prompts]

    return measure


def by_bytes(requests: Sequence[Request], prompts: Sequence[Prompt]) -> list[int]:
    """A guess that needs no vocabulary and no time."""
    del prompts
    return [guess_tokens(request.body) for request in requests]
