from __future__ import annotations

import pytest

from runner.dataset.encoding_guess import decoded, guess_encoding

SAMPLES = [
    (
        "cp1252",
        "id,texte\n1,Où est la bibliothèque ? L'été dernier, une crêpe à côté du château.\n",
    ),
    ("cp1252", "id,text\n1,Müller aß Äpfel über den Flüssen; schöne Grüße an die Straße\n"),
    ("cp1252", "id,text\n1,Herr Müller\n"),
    ("cp1252", "id,text\n1,“Hello” – it’s a test… done\n"),
    ("gb18030", "id,text\n1,你好,今天天气怎么样?\n2,我是大规模语言模型\n"),
    ("gb18030", "id,text\n1,你好\n"),
    ("big5", "id,text\n1,請問圖書館在哪裡?我是來自臺灣的學生\n"),
    ("shift_jis", "id,text\n1,こんにちは、今日の天気はどうですか?\n2,カタカナと漢字\n"),
    ("utf-16", "id,text\n1,你好\n"),
    ("utf-16-le", "id,text\n1,hello\n"),
    ("utf-16-be", "id,text\n1,hello\n"),
    ("utf-32", "id,text\n1,你好\n"),
]


@pytest.mark.parametrize(("encoding", "text"), SAMPLES)
def test_everyday_text_is_recognised(encoding: str, text: str) -> None:
    assert guess_encoding(text.encode(encoding), but="utf-8") == encoding


def test_utf_8_read_as_something_else_is_recognised_with_or_without_its_mark() -> None:
    for data in ("1,你好".encode(), "1,你好".encode("utf-8-sig")):
        assert guess_encoding(data, but="gb18030") == "utf-8"


def test_the_encoding_that_failed_is_never_proposed() -> None:
    assert guess_encoding("1,你好".encode("utf-16"), but="utf-16") is None
    assert guess_encoding(b"1,h\x00\x81", but="utf-16-le") != "utf-16-le"
    assert guess_encoding(b"\x81\xff\x8d\xff", but="cp1252") is None


def test_a_character_cut_off_at_the_end_of_the_sample_does_no_harm() -> None:
    data = ("你好," * 100).encode("gb18030")
    assert guess_encoding(data[:-2], but="utf-8") == "gb18030"
    assert decoded("你好".encode()[:-1], "utf-8") == "你"
    assert decoded(b"\xff", "utf-8") is None
