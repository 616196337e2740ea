"""Texts in the encodings that they are really in, whatever they say."""

from __future__ import annotations

import pytest

from tests.tools.retrieval.test_parse import read

GERMAN = "Grüße aus München, größer und süßer. " * 20


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (GERMAN.encode() + b"\xff.", GERMAN + "\ufffd."),
        (GERMAN.encode() + "ß".encode()[:1], GERMAN + "\ufffd"),
        ("Größe".encode() + "ß".encode()[:1], "Größe\ufffd"),
        (GERMAN.encode("cp1252"), GERMAN.strip()),
    ],
)
def test_one_broken_character_leaves_the_others_as_they_are(data: bytes, text: str) -> None:
    assert read(data, name="a.txt").text == text


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("iso-8859-1", b"\x80 100, \x93so\x94, gr\xfcn", "€ 100, “so”, grün"),
        ("us-ascii", b"\x80 100", "€ 100"),
        ("gb2312", "朱镕基".encode("gbk"), "朱镕基"),
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("shift_jis", "髙橋①".encode("cp932"), "髙橋①"),
        ("iso-2022-jp", "日本語".encode("iso-2022-jp"), "日本語"),
        ("utf-8", "naïve ".encode() + b"caf\xe9.", "naïve caf\ufffd."),
        ("utf-8", b"caf\xe9.", "café."),
    ],
)
def test_a_declared_charset_is_read_as_browsers_read_it(
    charset: str, data: bytes, text: str
) -> None:
    page = b'<html><head><meta charset="%s"></head><body>%s</body></html>'
    assert read(page % (charset.encode(), data), name="a.html").text == text


def test_a_text_that_only_mentions_a_charset_is_read_in_its_own() -> None:
    told = "Übrigens: charset=iso-2022-jp ist japanisch."
    assert read(told.encode(), name="a.md").text == told


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("Donau\u00addampf\u00ad\nschiff", "Donaudampfschiff"),
        ("u\u0308ber", "über"),
        ("e\ufb03cient \ufb01les", "efficient files"),
        ("one\fpage\vtwo", "one\npage two"),
    ],
)
def test_a_word_is_kept_as_it_is_searched(written: str, read_as: str) -> None:
    assert read(written.encode(), name="a.txt").text == read_as
