"""Files that a thread's user gave: whether a question is about them, what the coder is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from langchain_core.messages import AnyMessage, HumanMessage
from pydantic import Field

from agents import coder, coordinator
from graphs import guarding
from graphs.context import TeamContext
from tools import file_preview
from tools.thread_documents import is_readable
from tools.uploads import Upload

DATA = "data"
"""The move of a plan that is about the files."""
_NAMED = 10
_SHORTEST = 3
_MEANS_DATA = re.compile(
    r"\b(?:spreadsheets?|workbooks?|worksheets?|sheets?|csv|tsv|xlsx?|excel|json|parquet|tables?|"
    r"columns?|rows?|cells?|data ?sets?|data ?frames?|the data|plot|plots|plotted|charts?|graphs?|"
    r"histograms?|diagrams?)\b",
    re.IGNORECASE,
)
_MEANS_FILES = re.compile(
    r"\b(?:files?|attach(?:ed|ment|ments)|upload(?:ed|s)?|pdfs?)\b", re.IGNORECASE
)
_NAMES = re.compile(r"\s*(?:\[attached: [^\]\n]*\]|^Files given: .*$)\s*", re.MULTILINE)
_BRIEFING = """Files of the user in the working folder, and how they begin:
{shown}

Read them by these names with Python; look first where you are not sure what stands in them, and \
print what you need. A figure is shown to the user by plt.show(), a file by writing it. {means}"""


class PlanWithFiles(coordinator.Plan):
    """A plan where the user has given files."""

    move: Literal["reply", "research", "calculate", "data"] = Field(  # type: ignore[assignment]
        description="reply: greetings and small talk; research: look it up in the documents, also "
        "in those that the user gave; calculate: work it out from the documents; data: work with "
        "the user's tables and data files"
    )


async def given(context: TeamContext) -> Sequence[Upload]:
    """The files of the run's thread."""
    return await context.files.there(tenant=context.tenant, thread_id=context.thread_id)


def is_about(question: str, files: Sequence[Upload]) -> bool:
    """Whether a question is the coder's for its files: by a name, or by what files are called.

    Without files nothing is. Text documents among them are looked up, and are the coder's only
    where the question speaks of tables, columns, charts and the like.
    """
    if not files:
        return False
    said = without_names(question)
    if _MEANS_DATA.search(said):
        return True
    data = [one for one in files if not is_readable(one.name)]
    if any(_names(said, one) for one in data):
        return True
    if not data or any(_names(said, one) for one in files):
        return False
    return any(_names(question, one) for one in data) or _MEANS_FILES.search(said) is not None


def without_names(question: str) -> str:
    """What was asked, without the lines that say which files came along; if nothing else, those."""
    return _NAMES.sub("\n", question).strip() or question


def _names(question: str, file: Upload) -> bool:
    name = file.name.casefold()
    called = {name, stem} if len(stem := PurePosixPath(name).stem) >= _SHORTEST else {name}
    said = question.casefold()
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", said) for one in called)


def with_files(conversation: Sequence[AnyMessage], files: Sequence[Upload]) -> list[AnyMessage]:
    """The conversation, its last message followed by which files there are."""
    names = ", ".join(one.name for one in files[-_NAMED:])
    last = conversation[-1].text
    return [*conversation[:-1], HumanMessage(f"{last}\n\n[files that the user gave: {names}]")]


async def briefing(context: TeamContext) -> str:
    """What the coder is told of the files; empty without any."""
    try:
        async with asyncio.timeout(context.tool_seconds):
            shown = await context.files.shown(tenant=context.tenant, thread_id=context.thread_id)
    except TimeoutError:
        # No session was free; the coder's own call may have one.
        shown = file_preview.told(await given(context), {})
    if not shown:
        return ""
    plain = context.model_for(context.agents[coder.NAME]).plain
    return _BRIEFING.format(shown=guarding.data(shown, plain=plain), means=context.files.means)
