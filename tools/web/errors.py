"""What can go wrong with a web page, each said in one line without secrets.

WebError
├── PageError
│   ├── PageRefusedError      a URL, an address or a port that may not be asked
│   ├── PageMovedError        it leads on to another URL, which was not asked for
│   ├── PageUnreachableError  no connection, or no answer that can be read
│   ├── PageSlowError         over the time limit
│   ├── PageLargeError        over a limit on bytes, packed or unpacked
│   └── PageUnreadableError   a status, a type or a content that gives no text
└── SearchError               the search provider refuses, or answers nonsense
"""

from __future__ import annotations


class WebError(Exception):
    """Root of all errors about the web."""


class PageError(WebError):
    """A page cannot be had."""


class PageRefusedError(PageError):
    """The URL, or one that it leads to, may not be asked."""


class PageMovedError(PageError):
    """The page is elsewhere: ``url``, whose turn it is to be asked for."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class PageUnreachableError(PageError):
    """Nobody answers there, or not in HTTP."""


class PageSlowError(PageError):
    """The page did not come in time."""


class PageLargeError(PageError):
    """The page is over a limit on its bytes."""


class PageUnreadableError(PageError):
    """What came holds no text that can be read here."""


class SearchError(WebError):
    """The search provider does not answer, refuses, or answers what cannot be read."""
