"""What code of a run came to: its cells, and the figures and files that people are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from langgraph.runtime import Runtime

from graphs import events
from graphs.context import TeamContext
from graphs.node import emit
from graphs.state import Branch, Finding, Wanted
from tools.run_python import CUT, shortened
from tools.tool import ToolResult

MOST = 50
"""Most artifacts and cells that an answer carries; the latest."""
CELL = 4_000
"""Longest code or output of a cell as data, characters."""
_LINK = re.compile(r"(!?\[[^\[\]]{0,300}\])\(<?(?P<to>[^\s()<>]{1,300})>?\)")
_PLACES = ("sandbox:", "attachment:", "file://", "/mnt/data/", "/work/", "./", "/")

Made = dict[str, Any]


def tell(result: ToolResult, call: Wanted, branch: Branch, runtime: Runtime[TeamContext]) -> None:
    """Tell of each figure and file that a call made and that was kept."""
    task = branch["task"]
    for one in made([result]):
        emit(
            runtime,
            events.ArtifactMade(
                agent=runtime.context.agents[task["agent"]].name,
                task_id=task["id"],
                call_id=call["id"],
                tool=call["name"],
                artifact=events.Artifact.model_validate(one),
            ),
        )


def made(results: Sequence[ToolResult]) -> list[Made]:
    """What the results name as kept: figures and tables first, then files, in their order."""
    found: list[Made] = []
    for result in results:
        for output in result.data.get("outputs") or ():
            found += [_named(one) for one in output.get("artifacts") or ()]
        found += [_named(one) for one in result.data.get("files") or () if "id" in one]
    return found


def joined(before: Sequence[Made], new: Sequence[Made]) -> list[Made]:
    """All of them, of one name the latest: code writes a file again where it mends itself."""
    by_name = {one["name"]: one for one in [*before, *new]}
    return list(by_name.values())[-MOST:]


def of_findings(findings: Sequence[Finding]) -> list[Made]:
    """What the whole run made."""
    found: list[Made] = []
    for one in findings:
        found = joined(found, one.get("artifacts") or [])
    return found


def cells(results: Sequence[ToolResult]) -> list[dict[str, Any]]:
    """Code that was run with what it printed, cut to a length that a thread can carry."""
    return [
        {
            "code": str(result.data["code"])[:CELL],
            # Its end as well: there the total stands, and the model has read it.
            "output": shortened(printed(result), to=CELL, mark=CUT),
            "ok": result.ok,
        }
        for result in results
        if "code" in result.data
    ]


def printed(result: ToolResult) -> str:
    """What a cell printed, and the values that it showed."""
    return str(result.data.get("printed") or result.data.get("stdout") or "")


def cells_of(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """All code of the run, in the order in which its tasks were done."""
    return [cell for one in findings for cell in one.get("cells") or ()][-MOST:]


def path_of(artifact: Made) -> str:
    """Where an artifact is fetched from this server."""
    return f"/artifacts/{artifact['id']}"


def outputs_of(findings: Sequence[Finding]) -> list[str]:
    """What cells that ended well printed."""
    return [
        str(cell["output"])
        for one in findings
        for cell in one.get("cells") or ()
        if cell["ok"] and cell["output"]
    ]


def linked(text: str, artifacts: Sequence[Made]) -> str:
    """The text with links to files of the sandbox, as models write them, led to the artifacts."""
    by_name = {str(one["name"]): path_of(one) for one in artifacts}
    if not by_name:
        return text

    def led(match: re.Match[str]) -> str:
        to = unquote(match["to"])
        for place in _PLACES:
            to = to.removeprefix(place)
        return f"{match[1]}({by_name[to]})" if to in by_name else match[0]

    return _LINK.sub(led, text)


def _named(artifact: Mapping[str, Any]) -> Made:
    return {name: artifact[name] for name in ("id", "name", "media_type", "bytes")}
