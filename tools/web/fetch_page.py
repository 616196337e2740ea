"""The tool that reads a page of the web."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, Field

from tools.retrieval.parse import Parser
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult
from tools.web import addresses, page_text
from tools.web.errors import PageError, PageMovedError
from tools.web.fetching import Fetcher

NAME = "fetch_page"

Permits = Callable[[Mapping[str, Any], ToolContext], bool]
"""Whether a call with these arguments would be allowed with nobody asked."""


class FetchPage(BaseModel):
    """Arguments of ``fetch_page``."""

    url: str = Field(
        min_length=1,
        max_length=addresses.LONGEST,
        description="The page's whole URL, which begins with http:// or https://.",
    )
    about: str = Field(
        default="",
        max_length=200,
        description="What to look for on the page: key words and names. Empty: how it begins.",
    )


def fetch_page(fetcher: Fetcher, *, parser: Parser, permits: Permits, limit: int = 5) -> Tool:
    """A tool that gives at most ``limit`` passages of a page.

    A redirect is followed where ``permits`` would let the model ask for its URL; else the model is
    told of it, so that what rules say about hosts holds for each of them.
    """

    async def call(arguments: FetchPage, context: ToolContext) -> ToolResult:
        def may_follow(url: str) -> bool:
            return permits({**arguments.model_dump(), "url": url}, context)

        try:
            fetched = await fetcher.fetch(arguments.url, may_follow=may_follow)
            page = await page_text.read(fetched, parser=parser)
        except PageMovedError as moved:
            raise ToolError(
                f"The page has moved. If you need it, call {NAME} with {moved.url}"
            ) from None
        except PageError as error:
            raise ToolError(f"The page could not be read: {error}.") from None
        hits = await page_text.best(page, about=arguments.about, limit=limit)
        shown = f"{len(hits)} of {len(page.passages)} passages of {page.title}, {page.url}"
        return ToolResult(
            content=f"{shown}\n\n{page_text.numbered(hits)}",
            evidence=tuple(hit.to_json() for hit in hits),
            data={"url": page.url},
        )

    return Tool(
        name=NAME,
        description="Read a page of the web by its URL. Returns the passages of it that fit best, "
        "numbered.",
        parameters=FetchPage,
        effect=Effect.READS,
        call=call,
    )
