"""How many tokens will a request take, and how soon? Learned from the answers so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.records import Usage

# Inputs are guessed from bytes, mostly 5 to 25 % too high; see `runner.tokens.guess_tokens`.
_FIRST_RATIO = 1 / 1.15
_FIRST_OUTPUT = 500.0  # tokens; right for no one, and forgotten with the first answer
_MEMORY = 50  # answers: enough to be steady, few enough to follow a dataset that changes
_ENOUGH = 3  # answers to inputs of about one length, before these are a kind of their own


class Mean:
    """A mean that forgets: of everything at first, then mostly of the last values."""

    __slots__ = ("count", "value")

    def __init__(self, first: float) -> None:
        self.value = first  # before anything has been added
        self.count = 0

    def add(self, value: float) -> None:
        """Take one more value into the mean."""
        self.count += 1
        self.value += (value - self.value) / min(self.count, _MEMORY)


class Expectation:
    """What requests of each input length have taken. Lengths within a factor of two are alike."""

    def __init__(self) -> None:
        self._input_ratio = Mean(_FIRST_RATIO)  # tokens counted per token guessed
        self._output = Mean(_FIRST_OUTPUT)
        self._output_by_length: dict[int, Mean] = {}
        self._landing_s = Mean(0.0)
        self._error_tokens = Mean(0.0)
        self.answers = 0

    def input_tokens(self, guess: int) -> float:
        """Of a request whose input was guessed at so many tokens."""
        return guess * self._input_ratio.value

    def tokens(self, guess: int) -> int:
        """Input and output of a request whose input was guessed at so many tokens."""
        alike = self._output_by_length.get(guess.bit_length())
        output = alike if alike is not None and alike.count >= _ENOUGH else self._output
        return max(1, round(self.input_tokens(guess) + output.value))

    @property
    def landing_s(self) -> float:
        """From a reservation to the end of its reply; 0 before the first answer."""
        return self._landing_s.value

    @property
    def error_tokens(self) -> float:
        """How far off a single expectation is, on average; 0 before the first answer."""
        return self._error_tokens.value

    def learn(self, guess: int, usage: Usage, landing_s: float, error_tokens: int) -> None:
        """Take an answer into account."""
        self.answers += 1
        self._input_ratio.add(usage.prompt_tokens / max(1, guess))
        self._output.add(usage.completion_tokens)
        alike = self._output_by_length.setdefault(guess.bit_length(), Mean(0.0))
        alike.add(usage.completion_tokens)
        self._landing_s.add(landing_s)
        self._error_tokens.add(error_tokens)
