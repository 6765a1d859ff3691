from __future__ import annotations

import base64
import random
import unicodedata
from gettext import GNUTranslations
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runner.errors import JobError
from runner.tokens import vocabularies
from runner.tokens.byte_pairs import load_ranks
from runner.tokens.vocabularies import load_tokenizer

ENGLISH = (
    "The gate lets exactly as much water through as the wheel can take. When the river rises after "
    "a night of rain, the miller walks down to the bank, looks at the marks on the old post, and "
    "closes the boards by a hand's breadth. Please summarise the following customer review in two "
    "sentences and say whether the customer would recommend the product to a friend."
)
CHINESE = (
    "春天来了，河水慢慢上涨，磨坊主人每天清晨都会走到岸边，看看那根旧木桩上的刻度，然后把闸门放低一点。"
    "没有人写下他是怎么知道分寸的，可是石磨一直以同样的速度转动。请用两句话总结下面这条顾客评论，"
    "并判断顾客是否愿意把这个产品推荐给朋友。"
)
ODD = (
    "I'LL we've Größe naïve e\u0301te\u0301 Модель 日本語 한국어 ไทย क़लम 3.14159 2026-11-24 "
    "x=[1,2]; {'a':1} https://a.b/c?d=e "
    "😀 👩‍👩‍👧 <|im_end|> <|endoftext|> … C++ _snake_case_ \ufb01 a\u00a0b"
)


def vocabulary() -> Path:
    spec = find_spec("dashscope")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "resources" / "qwen.tiktoken"


class Reference:
    """Byte pair encoding as it is defined: the pair of lowest rank is merged first. Slow."""

    def __init__(self) -> None:
        lines = (line.split() for line in vocabulary().read_bytes().splitlines())
        self.ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
        self.split = import_module("regex").compile(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
        self.seen: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        words = self.split.findall(unicodedata.normalize("NFC", text))
        return [token for word in words for token in self.word(word)]

    def word(self, word: str) -> list[int]:
        if word not in self.seen:
            parts = [bytes([byte]) for byte in word.encode()]
            while pairs := [
                (self.ranks[left + right], place)
                for place, (left, right) in enumerate(pairwise(parts))
                if left + right in self.ranks
            ]:
                place = min(pairs)[1]
                parts[place : place + 2] = [parts[place] + parts[place + 1]]
            self.seen[word] = [self.ranks[part] for part in parts]
        return self.seen[word]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


# The ids of the `stop` examples in the provider's page "OpenAI Chat", 2025-11-11.
@pytest.mark.parametrize(
    ("text", "token"),
    [("你好", 108386), ("天气", 104307), ("啊", 103924), ("我", 35946), ("很好", 101243)],
)
def test_the_documented_token_ids(reference: Reference, text: str, token: int) -> None:
    encoding, is_qwen = load_ranks(vocabulary())
    assert is_qwen
    assert encoding.encode_ordinary(text) == reference.encode(text) == [token]


def test_the_documented_ids_of_a_whole_sentence() -> None:
    """Printed by the page on metering and billing, as eight tokens."""
    text = "通义千问具有强大的能力。"
    encoding, _ = load_ranks(vocabulary())
    printed = [31935, 64559, 99320, 56007, 100629, 104795, 99788, 1773]
    assert encoding.encode_ordinary(text) == printed
    assert load_tokenizer("qwen").count([text]) == [8]


def sentences(source: random.Random, count: int) -> list[str]:
    """Mixed sentences of English, Chinese, other scripts, numbers, code, emoji and blanks."""
    words = [*ENGLISH.split(), *ODD.split()]
    gaps = [" ", " ", " ", "", "  ", "\n", "\r\n", "\n\n", "\t", " \n ", "，", "。", ", "]
    made = []
    for _ in range(count):
        pieces = []
        for _ in range(source.randint(1, 25)):
            if source.random() < 0.4:
                start = source.randrange(len(CHINESE))
                pieces.append(CHINESE[start : start + source.randint(1, 12)])
            else:
                pieces.append(source.choice(words))
            pieces.append(source.choice(gaps))
        made.append("".join(pieces))
    return made


def translations() -> list[str]:
    """Sentences that people wrote in some ninety languages and twenty scripts: Django's messages.

    Django is a test's dependency for these alone.
    """
    spec = find_spec("django")
    assert spec is not None
    assert spec.submodule_search_locations
    found: set[str] = set()
    for file in sorted(Path(spec.submodule_search_locations[0]).rglob("*.mo")):
        with file.open("rb") as opened:
            catalog: dict[Any, str] = vars(GNUTranslations(opened))["_catalog"]
        found.update(text for text in catalog.values() if " " in text or len(text) > 12)
    return sorted(found)


@pytest.mark.parametrize("seed", [20261124])
def test_ten_thousand_real_sentences_agree_with_byte_pair_encoding_as_defined(
    reference: Reference, seed: int
) -> None:
    texts = random.Random(seed).sample(translations(), 10_000)
    scripts = {unicodedata.name(sign).split()[0] for sign in "".join(texts) if sign.isalpha()}
    assert {"LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "THAI", "HANGUL", "CJK"} < scripts
    encoding, _ = load_ranks(vocabulary())
    for text in texts:
        normal = unicodedata.normalize("NFC", text)
        assert encoding.encode_ordinary(normal) == reference.encode(text), (seed, text)
    assert load_tokenizer("qwen").count(texts) == [len(reference.encode(text)) for text in texts]


@pytest.mark.parametrize("seed", [20261124])
def test_ten_thousand_mixed_sentences_agree_with_byte_pair_encoding_as_defined(
    reference: Reference, seed: int
) -> None:
    texts = sentences(random.Random(seed), 10_000)
    encoding, _ = load_ranks(vocabulary())
    for text in texts:
        normal = unicodedata.normalize("NFC", text)
        assert encoding.encode_ordinary(normal) == reference.encode(text)
    counts = load_tokenizer("qwen").count(texts)
    assert counts == [len(reference.encode(text)) for text in texts]


def test_text_that_looks_like_a_special_token_counts_as_text() -> None:
    tokenizer = load_tokenizer("qwen")
    assert tokenizer.count(["<|im_end|>"])[0] > 1
    assert tokenizer.count(["<|endoftext|>", "<|extra_7|>"])[0] > 1


def test_composed_and_decomposed_letters_count_the_same() -> None:
    composed = "Crème brûlée à la façon de Noël"
    counts = load_tokenizer("qwen").count([composed, unicodedata.normalize("NFD", composed)])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("seed", [3])
def test_a_text_of_any_length_counts_as_the_sum_of_its_sentences(seed: int) -> None:
    # Each ends in a full stop before a letter, a boundary of the pattern wherever the text is cut.
    tokenizer = load_tokenizer("qwen")
    parts = [ENGLISH + "\n", CHINESE + "\n", "x1y22 = a.b(c)\n"]
    source = random.Random(seed)
    chosen = [source.choice(parts) for _ in range(6_000)]
    assert len("".join(chosen)) > 500_000
    assert tokenizer.count(["".join(chosen)])[0] == sum(tokenizer.count(chosen))


def test_a_million_blanks_or_letters_on_end_are_counted() -> None:
    blanks, letters, none = load_tokenizer("qwen").count([" " * 1_000_000, "啊" * 1_000_000, ""])
    assert 0 < blanks < 100_000
    assert letters == 1_000_000
    assert none == 0


@pytest.mark.parametrize(
    ("family", "exact"), [("qwen", True), ("qwen3.5", False), ("unknown", False)]
)
def test_another_family_is_an_estimate_that_says_by_how_much_it_may_err(
    family: str, exact: bool
) -> None:
    tokenizer = load_tokenizer(None, family=family)
    assert tokenizer.exact is exact
    assert (tokenizer.error_share == 0) is exact
    assert exact or family in tokenizer.name


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, ENGLISH + CHINESE], ids=["en", "zh", "mixed"])
def test_the_guess_by_characters_errs_no_more_than_it_says(text: str) -> None:
    guess, qwen = load_tokenizer("chars"), load_tokenizer("qwen")
    assert not guess.exact
    off = guess.count([text])[0] / qwen.count([text])[0] - 1
    assert abs(off) < guess.error_share / 2


def test_the_guess_counts_nothing_for_nothing_and_something_for_anything() -> None:
    assert load_tokenizer("chars").count(["", "a", "好", "😀", "\ud800"]) == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("missing", ["dashscope", "tiktoken"])
def test_without_the_vocabulary_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(
        vocabularies, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    with pytest.raises(JobError, match=r"penstock\[qwen\].*--tokenizer chars"):
        load_tokenizer(None)


def test_a_vocabulary_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "bytes.tiktoken"
    lines = (base64.b64encode(bytes([byte])) + b" %d" % byte for byte in range(256))
    file.write_bytes(b"\n".join(lines))
    tokenizer = load_tokenizer(str(file))
    assert tokenizer.count(["abc", "好"]) == [3, 3]
    assert (tokenizer.name, tokenizer.exact) == ("bytes.tiktoken", False)
    assert load_tokenizer(str(vocabulary())).exact


@pytest.mark.parametrize(
    "content", [b"not base64!! x", b"YQ== zero", b"YQ==", b"YQ== 0 1", b"YQ== 0\nYg== 0"]
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.tiktoken"
    file.write_bytes(content)
    with pytest.raises(JobError, match=r"broken\.tiktoken: not a \.tiktoken file"):
        load_tokenizer(str(file))


@pytest.mark.parametrize("name", ["missing.tiktoken", "missing.json", "gpt-9"])
def test_a_tokenizer_that_does_not_exist_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobError, match=name):
        load_tokenizer(str(tmp_path / name) if "." in name else name)


def test_a_tokenizer_json_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabularies, "find_spec", lambda _: None)
    with pytest.raises(JobError, match="pip install tokenizers"):
        load_tokenizer("tokenizer.json")


def test_a_tokenizer_json_counts_special_looking_text_as_text(tmp_path: Path) -> None:
    tokenizers: Any = pytest.importorskip("tokenizers")
    letters = {letter: rank for rank, letter in enumerate("<|im_end>abc ")}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=letters, merges=[]))
    made.add_special_tokens(["<|im_end|>"])
    file = tmp_path / "tokenizer.json"
    made.save(str(file))
    tokenizer = load_tokenizer(str(file))
    assert tokenizer.count(["abc", "<|im_end|>"]) == [3, 10]
    (tmp_path / "broken.json").write_text("{}", "utf-8")
    with pytest.raises(JobError, match=r"not a tokenizer\.json"):
        load_tokenizer(str(tmp_path / "broken.json"))
