"""Which vocabulary counts? Finds and loads tokenizers; each counts tokens of plain texts."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runner.errors import JobError
from runner.tokens.byte_pairs import Ranks, load_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

# dashscope (1.24.6 to 2.0.2) and qwen-agent ship one and the same file.
_QWEN_FILES = (("dashscope", "resources/qwen.tiktoken"), ("qwen_agent", "utils/qwen.tiktoken"))
# How far a count with the Qwen vocabulary may be off for models of another family. qwen3.5 and
# later have 248,320 entries against about 151,900 and split into fewer pieces, so there it is too
# high rather than too low; no figure is published, a quarter is an assumption. Of the others,
# cl100k differs from Qwen's by 10 % on English and 46 % on Chinese.
_ERROR_SHARES = {"qwen": 0.0, "qwen3.5": 0.25}
_UNKNOWN_ERROR_SHARE = 0.5
_GUESS_ERROR_SHARE = 0.35  # of the guess by characters; the tests hold it on English and Chinese


class Tokenizer(Protocol):
    """Counts tokens of plain texts. Consumed by `prompt_tokens` and by estimates."""

    @property
    def name(self) -> str:
        """For the reader of an estimate."""
        ...

    @property
    def exact(self) -> bool:
        """Whether these are the model's own tokens, rather than an estimate."""
        ...

    @property
    def error_share(self) -> float:
        """By which share of itself a count may be off; 0 when exact."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text. Text that looks like a special token counts as text."""
        ...


def load_tokenizer(name: str | None, *, family: str = "qwen") -> Tokenizer:
    """A tokenizer by name (`qwen`, `chars`), by file (*.tiktoken, *.json), or for a model's family.

    Loading takes about 0.2 s and 60 MB, once a process. Raises JobError for a file that is no
    vocabulary, and for a missing package, with the command that installs it.
    """
    if name == "chars":
        return _Guess()
    if name is None or name == "qwen":
        error_share = _ERROR_SHARES.get(family, _UNKNOWN_ERROR_SHARE)
        return _qwen("qwen" if not error_share else f"qwen, for {family}", error_share)
    if name.endswith(".tiktoken"):
        return _ranks_of(Path(name).expanduser())
    if name.endswith(".json"):
        return _HuggingFace(Path(name).expanduser())
    raise JobError(
        f"--tokenizer {name}: there is no such tokenizer. There are qwen, chars (a guess by "
        "characters), or a file of your model's: tokenizer.json, *.tiktoken"
    )


class _Guess:
    """Tokens by characters, without any vocabulary.

    English prose runs to about 4.7 characters a Qwen token, technical English to 4, Chinese to 1.4
    to 1.7. Numbers and markup run to far fewer, since each digit is a token: there it is too low.
    """

    name = "chars (a guess)"
    exact = False
    error_share = _GUESS_ERROR_SHARE

    def count(self, texts: Sequence[str]) -> list[int]:
        return [_guess(text) for text in texts]


def _guess(text: str) -> int:
    if text.isascii():
        return -(-len(text) * 10 // 44)
    # Two of a Chinese character's three UTF-8 bytes are in excess of its one character.
    excess = len(text.encode("utf-8", "surrogatepass")) - len(text)
    wide = min(len(text), excess / 2)
    return round((len(text) - wide) / 4.4 + wide / 1.55) or 1


class _HuggingFace:
    """A tokenizer.json under the tokenizers package."""

    exact = True
    error_share = 0.0

    def __init__(self, path: Path) -> None:
        if find_spec("tokenizers") is None:
            raise JobError(
                f"--tokenizer {path}: a tokenizer.json needs the tokenizers package: "
                "pip install tokenizers"
            )
        if not path.is_file():
            raise JobError(f"--tokenizer {path}: there is no such file")
        try:
            self._tokenizer = import_module("tokenizers").Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the package raises nothing narrower
            raise JobError(f"--tokenizer {path}: not a tokenizer.json: {error}") from None
        self._tokenizer.encode_special_tokens = True  # as text, not as the special token
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.name = path.name

    def count(self, texts: Sequence[str]) -> list[int]:
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encoded]


def _qwen(name: str, error_share: float) -> Ranks:
    for package, file in _QWEN_FILES:
        spec = find_spec(package)  # finds the package without running any of it
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / file
            if path.is_file() and find_spec("tiktoken"):
                encoding, is_qwen = load_ranks(path)
                error_share = error_share if is_qwen else error_share or _UNKNOWN_ERROR_SHARE
                return Ranks(encoding, name, error_share)
    raise JobError(
        "the Qwen vocabulary is not installed, so tokens cannot be counted exactly. "
        "Install it: pip install 'penstock[qwen]'. Or go without: --tokenizer chars, a guess "
        "by characters"
    )


def _ranks_of(path: Path) -> Ranks:
    if find_spec("tiktoken") is None:
        raise JobError(f"--tokenizer {path}: needs tiktoken: pip install 'penstock[qwen]'")
    try:
        encoding, is_qwen = load_ranks(path)
    except OSError as error:
        raise JobError(f"--tokenizer {path}: cannot be read: {error.strerror}") from None
    # A .tiktoken file does not say by which pattern its texts are split first.
    return Ranks(encoding, path.name, 0.0 if is_qwen else 0.05)
