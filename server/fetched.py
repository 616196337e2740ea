"""A page of the web as bytes to ingest, fetched by the rules of the web."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tools.web.errors import PageError, PageRefusedError

if TYPE_CHECKING:
    from tools.web.fetching import Fetcher


class Unreadable(Exception):  # noqa: N818 - it says what is wrong
    """A source that gives no bytes; the message says why, with the remedy."""


async def data(url: str, *, fetcher: Fetcher) -> bytes:
    """The page's content, a text of it in UTF-8. Raises Unreadable."""
    # Late: what guesses encodings, for pages alone.
    from tools.web import page_text

    try:
        fetched = await fetcher.fetch(url)
    except PageRefusedError as error:
        raise Unreadable(f"{error}; web_allow and web_ports open what is yours") from None
    except PageError as error:
        raise Unreadable(str(error)) from None
    return await asyncio.to_thread(page_text.in_utf8, fetched)
