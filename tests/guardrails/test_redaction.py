"""Secrets and personal data leave a text as placeholders, and only those."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import redaction
from guardrails.redaction import Kind, Redactor

DATA = Path(__file__).parents[3] / "shared" / "data"
A, D = "A", "9"
# Put together here, so that no scanner takes them for real ones.
SECRETS = {
    "AKIA" + "Q" * 16: Kind.KEY,
    "ghp_" + "a1B2" * 9: Kind.TOKEN,
    "github_pat_" + "a1B2" * 8: Kind.TOKEN,
    "xoxb-" + "1234567890-" + "abcDEF": Kind.TOKEN,
    "glpat-" + "a1B2c3D4e5" * 2: Kind.TOKEN,
    "sk-proj-" + "a1B2" * 8: Kind.KEY,
    "sk-ant-api03-" + "a1B2" * 8: Kind.KEY,
    "sk_live_" + "a1B2" * 5: Kind.KEY,
    "AIza" + "a1B2c" * 7: Kind.KEY,
    "cp-" + "a1B2" * 11: Kind.KEY,
    "eyJ" + "hbGciOiJIUzI1NiJ9" + "." + "eyJ" + "zdWIiOiIxIn0" + "." + "c2lnbmF0dXJl": Kind.TOKEN,
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "A" * 40 + "\n-----END RSA PRIVATE KEY-----": (
        Kind.PRIVATE_KEY
    ),
}
PERSONAL = {
    "ann.smith+x@mail.example.org": Kind.EMAIL,
    "4111 1111 1111 1111": Kind.CARD,
    "378282246310005": Kind.CARD,
    "DE89 3704 0044 0532 0130 00": Kind.IBAN,
    "GB82WEST12345698765432": Kind.IBAN,
    "+49 (30) 1234 5678": Kind.PHONE,
    "+1-212-555-0123": Kind.PHONE,
    "(212) 717-3298": Kind.PHONE,
    "030 1234 5678": Kind.PHONE,
    "212-555-0123": Kind.PHONE,
    "123-45-6789": Kind.SSN,
}


@pytest.mark.parametrize(("value", "kind"), [*SECRETS.items(), *PERSONAL.items()])
def test_what_has_a_known_shape_is_found_whole(value: str, kind: Kind) -> None:
    for text in (value, f"It is {value}, I think.", f"({value})", f'{{"x": "{value}"}}'):
        redacted = Redactor().redact(text)
        assert redacted == text.replace(value, f"[{kind} 1]")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer abc123def456ghi789", "Authorization: Bearer [token 1]"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic [token 1]"),
        ("postgres://ann:s3cret@db:5432/x", "postgres://ann:[password 1]@db:5432/x"),
        ("redis://:hunter22@cache", "redis://:[password 1]@cache"),
        ('DB_PASSWORD="tr0ub4dor&3"', 'DB_PASSWORD="[password 1]"'),
        ("api_key: 9f8e7d6c5b4a", "api_key: [password 1]"),
        ("aws_secret_access_key = " + "aB3/" * 10, "aws_secret_access_key = [key 1]"),
        (
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX",
            "https://hooks.slack.com/services/[token 1]",
        ),
    ],
)
def test_what_is_named_as_a_secret_goes_and_its_name_stays(text: str, redacted: str) -> None:
    assert Redactor().redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 fails the check digit",
        "DE89 3704 0044 0532 0130 01 fails the check digits",
        "0000 0000 0000 0000",
        "version 1.2.3, 2026-11-24 10:30:00, 192.168.1.10, pages 100-200",
        "order 1234567890, 12,345,678.90 EUR, 3.14159265358979",
        "error C2065, LNK2019, 0x80070005, sha256 " + "ab12" * 16,
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "password: required; token: the bearer of this letter, basic authentication",
        "max_tokens=200000 and token = string",
        "the bearer infrastructure, a sk-learn-contributed-package",
        "user@localhost, @mention, a@b",
    ],
)
def test_what_only_resembles_them_stays(text: str) -> None:
    assert Redactor().redact(text) == text


def test_the_same_value_is_the_same_placeholder_in_every_text_of_a_run() -> None:
    redactor = Redactor()
    assert redactor.redact("a@x.org and b@x.org") == "[email 1] and [email 2]"
    assert redactor.redact("again b@x.org") == "again [email 2]"


def test_only_what_is_reversible_is_kept_and_put_back() -> None:
    redactor = Redactor(reversible=frozenset({Kind.EMAIL}))
    text = "Mail a@x.org with ghp_" + "a1B2" * 9
    redacted = redactor.redact(text)
    assert redactor.restore(redacted) == "Mail a@x.org with [token 1]"
    assert list(redactor.mapping.values()) == ["a@x.org"]
    later = Redactor(known=redactor.mapping)
    assert later.restore("Hello [email 1]") == "Hello a@x.org"
    assert later.redact("c@x.org") == "[email 2]"


def test_a_placeholder_that_a_document_wrote_itself_is_given_to_nobody() -> None:
    """Else a text could have a value put where it wants it."""
    redactor = Redactor(reversible=frozenset(Kind))
    assert redactor.redact("send to [email 1] what a@x.org wrote") == (
        "send to [email 1] what [email 2] wrote"
    )
    assert redactor.restore("[email 1]") == "[email 1]"


def test_plain_json_is_redacted_in_depth() -> None:
    value = {"to": ["a@x.org", {"b@x.org": 4}], "n": 1.5, "ok": None}
    assert Redactor().redact_all(value) == {
        "to": ["[email 1]", {"[email 2]": 4}],
        "n": 1.5,
        "ok": None,
    }


PIECES = st.one_of(st.sampled_from([*SECRETS, *PERSONAL, " ", ", ", "\n", "[email 1]"]), st.text())


@given(st.lists(PIECES, max_size=8))
def test_redacting_twice_changes_nothing_more_and_restoring_gives_all_back(
    pieces: list[str],
) -> None:
    text = " ".join(pieces)
    redactor = Redactor(reversible=frozenset(Kind))
    redacted = redactor.redact(text)
    assert redactor.redact(redacted) == redacted
    assert redactor.restore(redacted) == text
    for piece in pieces:
        if piece in SECRETS:
            assert piece not in redacted


@given(st.integers(10**14, 10**15 - 1), st.integers(1, 9))
def test_one_changed_digit_is_noticed_by_the_check_digit(number: int, change: int) -> None:
    digits = next(f"{number}{last}" for last in range(10) if redaction.is_luhn(f"{number}{last}"))
    wrong = digits[:5] + str((int(digits[5]) + change) % 10) + digits[6:]
    assert not redaction.is_luhn(wrong)


def test_hardly_anything_of_real_documents_is_taken_for_a_secret_or_a_person() -> None:
    """2,772 pages about software: four addresses in an example are all there is to find."""
    corpora = [DATA / name / "corpus.jsonl" for name in ("anthropic_docs", "cppdocs_errors")]
    if not all(path.exists() for path in corpora):
        pytest.skip("the shared documents are not here")
    found = []
    for path in corpora:
        for line in path.read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["text"]
            found += redaction.spans(redaction.find(text), text)
    assert set(found) <= {"EMAIL_002@example.com"}


@given(st.one_of(*(st.from_regex(shape.pattern) for shape in redaction._SHAPES)))
def test_what_is_passed_over_for_its_shortness_holds_nothing(text: str) -> None:
    found = [one for shape in redaction._SHAPES for one in redaction._of_shape(shape, text)]
    assert bool(redaction.find(text)) == bool(found)
