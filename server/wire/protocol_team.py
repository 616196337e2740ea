"""The team's agents as the thread-centric protocol tells subagents: each in its namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages.ai import UsageMetadata

from server.wire.protocol import Namespace, Told
from server.wire.protocol_messages import Messages


class TeamAgents:
    """Who of the team is at work; everything that the team tells is also told as ``custom``.

    What an agent writes is a draft, told under its own namespace: the run's own messages are
    those that the critic has seen.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._open: dict[Namespace, str] = {}
        self._calls: set[str] = set()

    def show(self, event: Mapping[str, Any]) -> Iterator[Told]:
        """The events of one of the team's."""
        namespace = _namespace(event)
        match event.get("type"):
            case "agent.started":
                yield from self._begin(namespace, event)
            case "agent.finished":
                yield from self._messages.over(namespace)
                yield from self._end(namespace, "completed")
            case "model.delta":
                yield from self._begin(namespace, event)
                yield from self._messages.show(
                    _piece(event), {"langgraph_node": event["agent"]}, namespace=namespace, name=""
                )
                return
            case "model.called":
                yield from self._messages.used(namespace, _usage(event))
            case "tool.started" | "tool.finished" | "tool.refused":
                yield from self._tool(event, namespace)
        yield Told(method="custom", data={"name": event["type"], "payload": dict(event)})

    def closed(self, phase: str) -> Iterator[Told]:
        """The end of those who are still at work."""
        for namespace in list(self._open):
            yield from self._end(namespace, phase)

    def _begin(self, namespace: Namespace, event: Mapping[str, Any]) -> Iterator[Told]:
        if not namespace or namespace in self._open:
            return
        self._open[namespace] = str(event["agent"])
        data = {"event": "started", "graph_name": event["agent"]}
        yield Told(method="lifecycle", data=data, namespace=namespace)

    def _end(self, namespace: Namespace, phase: str) -> Iterator[Told]:
        if (agent := self._open.pop(namespace, None)) is not None:
            data = {"event": phase, "graph_name": agent}
            yield Told(method="lifecycle", data=data, namespace=namespace)

    def _tool(self, event: Mapping[str, Any], namespace: Namespace) -> Iterator[Told]:
        call = str(event["call_id"])
        if call not in self._calls:
            self._calls.add(call)
            yield _tools("tool-started", event, namespace, input=event.get("args") or {})
        match event["type"]:
            case "tool.finished" if event["ok"]:
                yield _tools("tool-finished", event, namespace, output=event["summary"])
            case "tool.finished":
                yield _tools("tool-error", event, namespace, message=event["summary"])
            case "tool.refused":
                yield _tools("tool-error", event, namespace, message=event["reason"])


def _tools(kind: str, event: Mapping[str, Any], namespace: Namespace, **more: Any) -> Told:
    data = {"event": kind, "tool_call_id": event["call_id"], "tool_name": event["tool"], **more}
    return Told(method="tools", data=data, namespace=namespace)


def _namespace(event: Mapping[str, Any]) -> Namespace:
    """Under which an agent works: its name and task; the coordinator and the critic have none."""
    agent, task = event.get("agent"), event.get("task_id")
    if not agent:
        return ()
    return (f"{agent}:{task}",) if task else (str(agent),)


def _piece(event: Mapping[str, Any]) -> Mapping[str, Any]:
    reasoning = event.get("reasoning")
    return {
        "type": "AIMessageChunk",
        "id": event["message_id"],
        "content": event["text"],
        "additional_kwargs": {"reasoning_content": reasoning} if reasoning else {},
    }


def _usage(event: Mapping[str, Any]) -> UsageMetadata:
    given, made = int(event["input_tokens"]), int(event["output_tokens"])
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
