"""What can go wrong with documents, each said in one line that names the thing and the remedy.

RetrievalError
├── ParseError                one document cannot be read; the others go on
│   ├── EmptyDocument         nothing in it
│   ├── NeedsOcr              only images of text
│   ├── EncryptedDocument     a password is needed
│   ├── DamagedDocument       cut short, broken, or it crashed the parser
│   ├── UnsupportedType       a format that is not read here
│   ├── TooLarge              over a limit on bytes, pages, cells, depth, unpacked bytes or memory
│   └── ParseTimeout          over the time limit
├── BadFilter                 a search filter that cannot be understood
└── StoreError
    ├── StoreUnreachable      the Counterpoint that keeps the documents does not answer us
    ├── StoreBusy             another process owns the store
    ├── StoreMismatch         the store was made with another embedder
    └── StoreDamaged          the store's files or server do not answer as they should
"""
# ruff: noqa: N818 - each name already says what is wrong

from __future__ import annotations

SUPPORTED = "PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, e-mail (EML), plain text and source code"


class RetrievalError(Exception):
    """Root of all errors about documents."""


class ParseError(RetrievalError):
    """One document cannot be read."""


class EmptyDocument(ParseError):
    """The document holds no text."""


class NeedsOcr(ParseError):
    """The document holds images of text and no text."""


class EncryptedDocument(ParseError):
    """The document opens only with a password."""


class DamagedDocument(ParseError):
    """The document is cut short or broken."""


class UnsupportedType(ParseError):
    """The document's format is not read here."""


class TooLarge(ParseError):
    """The document is over a limit."""


class ParseTimeout(ParseError):
    """Reading the document took too long."""


class BadFilter(RetrievalError):
    """A search filter cannot be understood."""


class StoreError(RetrievalError):
    """The store cannot do what was asked."""


class StoreUnreachable(StoreError):
    """The process that keeps the documents does not answer, or refuses us."""


class StoreBusy(StoreError):
    """Another process owns the store."""


class StoreMismatch(StoreError):
    """The store was made with another embedder."""


class StoreDamaged(StoreError):
    """The store's files or its server do not answer as they should."""


PARSE_ERRORS: dict[str, type[ParseError]] = {
    kind.__name__: kind
    for kind in (
        EmptyDocument,
        NeedsOcr,
        EncryptedDocument,
        DamagedDocument,
        UnsupportedType,
        TooLarge,
        ParseTimeout,
    )
}
