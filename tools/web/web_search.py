"""The tool that searches the web."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult
from tools.web import page_text
from tools.web.errors import SearchError
from tools.web.search_providers import Found, WebSearch

NAME = "web_search"


class SearchWeb(BaseModel):
    """Arguments of ``web_search``."""

    query: str = Field(
        min_length=1, max_length=200, description="What to look for: key words and names."
    )


def web_search(search: WebSearch, *, limit: int = 5) -> Tool:
    """A tool that gives at most ``limit`` results, each as a passage with its URL."""

    async def call(arguments: SearchWeb, context: ToolContext) -> ToolResult:
        del context
        try:
            found = await search.search(arguments.query, limit=limit)
        except SearchError as error:
            raise ToolError(f"The search failed: {error}.") from None
        if not found:
            return ToolResult(content=f"Nothing on the web was found for {arguments.query!r}.")
        return ToolResult(
            content="\n\n".join(
                f"[{number}] {one.title}, {one.url}\n{one.text}"
                for number, one in enumerate(found, 1)
            ),
            evidence=tuple(_passage(one) for one in found),
        )

    return Tool(
        name=NAME,
        description="Search the web. Returns results with their URLs, numbered.",
        parameters=SearchWeb,
        effect=Effect.READS,
        call=call,
    )


def _passage(found: Found) -> Mapping[str, Any]:
    """A result as evidence. It has no span: it is the provider's quotation, not the page."""
    document_id = page_text.page_id(found.url)
    quoted = hashlib.sha256(found.text.encode("utf-8", "replace")).hexdigest()[:16]
    return {
        "document_id": document_id,
        "chunk_id": f"{document_id}#found-{quoted}",
        # What a model reads of a passage is its title and text, and it may want to fetch the page.
        "title": f"{found.title} ({found.url})",
        "source": found.url,
        "text": found.text,
        "page": None,
        "heading": [],
        "span": None,
        "scores": {},
        "metadata": {"url": found.url},
    }
