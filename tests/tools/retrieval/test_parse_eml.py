"""Messages and what is attached to them."""

from __future__ import annotations

import base64
from email.message import EmailMessage

import pytest

from tests.tools.retrieval.making import message, pdf, workbook
from tests.tools.retrieval.test_parse import read
from tools.retrieval.documents import Kind
from tools.retrieval.errors import EmptyDocument, TooLarge
from tools.retrieval.sniff import Format, sniff


def test_a_message_gives_headers_body_and_attachments_by_their_names() -> None:
    parsed = read(
        message(("sales.xlsx", workbook()), ("rules.pdf", pdf("First page.", "Second."))),
        name="mail.eml",
    )
    assert parsed.title == "Grüße"
    assert parsed.sections[0].heading_path == ("Grüße",)
    assert parsed.sections[0].text == (
        "From: Ada <ada@example.org>\nTo: bob@example.org\n"
        "Date: Mon, 02 Mar 2026 09:30:00 +0100\nSubject: Grüße\n\nThe body, with käse."
    )
    [table, _] = [one for one in parsed.sections if one.kind is Kind.TABLE]
    assert table.heading_path == ("Attachment sales.xlsx", "Sales")
    assert table.caption == "Sales by country"
    assert [(one.page, one.text, one.heading_path) for one in parsed.sections[-2:]] == [
        (1, "First page.", ("Attachment rules.pdf",)),
        (2, "Second.", ("Attachment rules.pdf",)),
    ]
    for section in parsed.sections:
        assert parsed.text[section.start :].startswith(section.text)


def test_an_html_body_is_read_as_a_page() -> None:
    table = "<tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr>"
    page = f"<p>Hello <b>all</b>.</p><h2>News</h2><table>{table}</table><h2>Plans</h2><p>Rest.</p>"
    parsed = read(message(("a.txt", b"Words."), html=page), name="mail.eml")
    assert [one.heading_path for one in parsed.sections] == [
        ("Grüße",),
        ("Grüße", "News"),
        ("Grüße", "Plans"),
        ("Attachment a.txt",),
    ]
    assert "Hello all.\n\nNews\n\n| a" in parsed.text
    assert "Hello all." in parsed.text
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in parsed.text


def test_the_plain_form_of_a_body_is_preferred_and_its_html_is_no_attachment() -> None:
    made = EmailMessage()
    made["From"], made["Subject"] = "a@example.org", "Two forms"
    made.set_content("Plain form.")
    made.add_alternative("<p>HTML form.</p>", subtype="html")
    made.add_attachment(b"\x89PNG\r\n\x1a\n" + bytes(9), maintype="image", subtype="png")
    parsed = read(made.as_bytes(), name="a")
    assert "Plain form." in parsed.text
    assert "HTML form." not in parsed.text
    assert "Not read: part 1 (image/png): a PNG image, not read here" in parsed.text


def test_an_attachment_that_cannot_be_read_is_named_with_the_reason() -> None:
    parsed = read(message(("a.pdf", b"\0" * 99), ("b.txt", b"Words.")), name="mail.eml")
    assert "Not read: a.pdf: is not a PDF file inside; get a good copy" in parsed.text
    assert parsed.sections[-1].text == "Words."


def test_messages_within_messages_are_read_to_a_depth() -> None:
    made = message(("deep.txt", b"Deepest."))
    for level in range(3):
        outer = EmailMessage()
        outer["From"], outer["Subject"] = "a@example.org", f"Level {level}"
        outer.set_content(f"Body {level}.")
        outer.add_attachment(made, maintype="application", subtype="x", filename=f"{level}.eml")
        made = outer.as_bytes()
    text = read(made, name="mail.eml").text
    assert "Body 0." in text
    assert "käse" in text
    assert "Not read: deep.txt: attached more than 3 deep; save it and ingest it" in text


def test_attachments_keep_the_limits_of_documents() -> None:
    limited = read(message(("a.pdf", pdf("a", "b"))), name="m.eml", max_pages=1)
    assert "Not read: a.pdf: 2 pages, the limit is 1; split it" in limited.text
    with pytest.raises(TooLarge, match=r"^m\.eml: too much text with its attachments"):
        read(message(("a.txt", b"word " * 999)), name="m.eml", max_unpacked=100)
    with pytest.raises(TooLarge, match="more than 200 parts"):
        read(message(*[("a.txt", b"x")] * 200), name="m.eml")


def test_a_message_of_nothing_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        read(b"From: a@example.org\nDate: Mon, 02 Mar 2026 09:30:00 +0100\n\n", name="a.eml")


def raw(headers: str, *parts: tuple[str, bytes]) -> bytes:
    """A message as some program wrote it: each part by its content type, in base64."""
    made = f"From: ann@example.org\nTo: bob@example.org\n{headers}".encode()
    if not parts:
        return made
    for kind, data in parts:
        made += f"\n--B\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n\n".encode()
        made += base64.b64encode(data)
    return made + b"\n--B--\n"


def test_the_html_form_of_a_body_is_read_where_the_plain_one_is_empty() -> None:
    made = raw(
        "Subject: News\nContent-Type: multipart/alternative; boundary=B\n",
        ("text/plain; charset=utf-8", b" \r\n"),
        ("text/html; charset=utf-8", b"<p>All of it.</p>"),
    )
    assert read(made, name="a.eml").text.endswith("Subject: News\n\nAll of it.")


def test_texts_beside_the_body_are_read_in_their_charset() -> None:
    parsed = read(
        raw(
            "Content-Type: multipart/mixed; boundary=B\n",
            ("text/plain; charset=iso-8859-1", b"\x80 100"),
            ("text/plain; charset=koi8-r", "Привет".encode("koi8-r")),
            ("text/html; charset=koi8-r", "<p>Мир</p>".encode("koi8-r")),
            ("text/plain; charset=utf-8; name=a.pdf", pdf("A page.")),
        ),
        name="a.eml",
    )
    assert [one.text for one in parsed.sections[1:]] == ["Привет", "Мир", "A page."]
    assert "€ 100" in parsed.sections[0].text


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ("Subject: Grüße\n\nText.", "Subject: Grüße"),
        ('Cc: "Last, First" <x@y.z>,\n , broken <\nSubject: S\n\nText.', "Subject: S"),
        ("Date: yesterday\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe\n\nText.", "Date: yesterday"),
    ],
)
def test_headers_that_no_standard_knows_are_read_all_the_same(headers: str, told: str) -> None:
    for name, data in (
        ("utf-8", raw(headers)),
        ("latin-1", raw(headers).decode().encode("latin-1")),
    ):
        parsed = read(data, name=f"{name}.eml")
        assert told in parsed.text
        assert parsed.text.endswith("\n\nText.")


def test_a_message_in_an_unknown_charset_is_read_all_the_same() -> None:
    head = b"From: a@b\nSubject: x\nContent-Type: text/plain; charset=klingon\n\n"
    assert "words" in read(head + b"words", name="a.eml").text


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a", message(), Format.EML),
        ("a.txt", b"Received: from x\r\n\tby y\r\nDate: now\r\nSubject: z\r\n\r\nHi", Format.EML),
        ("a.txt", b"Subject: minutes\nDate: today\n\nWe met.", Format.TEXT),
        ("a.eml", b"From: x\n\nHi", Format.EML),
        ("a.md", message(), Format.MARKDOWN),
    ],
)
def test_a_message_is_known_by_its_headers(name: str, data: bytes, found: Format) -> None:
    assert sniff(data, name=name) is found
