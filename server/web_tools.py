"""The web's tools as a house has them: who has them, and what a redirect may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib import metadata
from typing import Any

from agents import researcher
from agents.agent import Agent
from guardrails import policy
from server.settings import Settings
from tools.retrieval.parse import Limits as ParseLimits
from tools.retrieval.sandboxed_parse import SandboxedParser
from tools.tool import Tool, ToolContext
from tools.web import fetch_page as fetch_pages
from tools.web import web_search as web_searches
from tools.web.fetching import Fetcher
from tools.web.search_providers import searching

NAMES = (fetch_pages.NAME, web_searches.NAME)
_PARSE_SECONDS = 20.0
_PARSE_MEMORY = 1_000_000_000


def user_agent() -> str:
    """What we say that we are."""
    try:
        version = metadata.version("counterpoint")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"Counterpoint/{version}"


def fetcher(settings: Settings) -> Fetcher:
    """Fetches pages, as the settings allow."""
    return Fetcher(
        agent=user_agent(),
        opened=settings.web_opened(),
        ports=frozenset(settings.web_ports),
        limits=settings.fetch_limits(),
    )


@asynccontextmanager
async def web_tools(
    settings: Settings, *, rules: Sequence[policy.Rule]
) -> AsyncIterator[Sequence[Tool]]:
    """The tools that are configured; none where nothing is."""
    async with AsyncExitStack() as stack:
        tools: list[Tool] = []
        if settings.fetch_pages:
            fetching = await stack.enter_async_context(fetcher(settings))
            limits = settings.fetch_limits()
            parser = SandboxedParser(
                limits=ParseLimits(
                    max_bytes=limits.max_unpacked,
                    max_unpacked=10 * limits.max_unpacked,
                    max_memory=_PARSE_MEMORY,
                    seconds=_PARSE_SECONDS,
                )
            )
            stack.push_async_callback(parser.close)
            tools.append(fetch_pages.fetch_page(fetching, parser=parser, permits=allowing(rules)))
        provider = settings.search_provider()
        if provider is not None:
            search = await stack.enter_async_context(searching(provider, agent=user_agent()))
            tools.append(web_searches.web_search(search))
        yield tools


def allowing(rules: Sequence[policy.Rule]) -> fetch_pages.Permits:
    """Whether the policy lets the researcher fetch a page with nobody asked."""

    def allowed(args: Mapping[str, Any], context: ToolContext) -> bool:
        call = policy.Call(
            tool=fetch_pages.NAME,
            args=args,
            agent=researcher.NAME,
            tenant=context.tenant,
            roles=context.roles,
        )
        return policy.decide(rules, call).allowed

    return allowed


def with_tools(agents: Mapping[str, Agent], tools: Sequence[Tool]) -> dict[str, Agent]:
    """The agents, with the web's tools for the researcher."""
    names = tuple(tool.name for tool in tools)
    found = dict(agents)
    if names:
        one = found[researcher.NAME]
        found[researcher.NAME] = replace(one, tools=(*one.tools, *names))
    return found


def without_rule(tools: Sequence[Tool], rules: Sequence[policy.Rule]) -> list[str]:
    """Those of the tools that no rule could ever let anybody use."""
    return [
        tool.name
        for tool in tools
        if not any(
            rule.decision is not policy.Decision.DENY and fnmatchcase(tool.name, rule.tool)
            for rule in rules
        )
    ]
