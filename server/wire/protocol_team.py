"""The team's agents as the thread-centric protocol tells subagents: each in its namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages.ai import UsageMetadata

from server.wire.protocol import Namespace, Told
from server.wire.protocol_messages import Messages


class TeamAgents:
    """Who of the team is at work; everything that the team tells is also told as ``custom``.

    As the clients know it of LangChain's deep agents, one that is given a task is a call of the
    tool ``task``, and works under ``tools:`` and the call's id: what stands there is no message of
    the conversation. So drafts are told, and the run's own messages are those that the critic has
    seen.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._open: dict[Namespace, Mapping[str, Any]] = {}
        self._calls: set[str] = set()

    def show(self, event: Mapping[str, Any]) -> Iterator[Told]:
        """The events of one of the team's."""
        namespace = _namespace(event)
        match event.get("type"):
            case "agent.started":
                yield _task("tool-started", event, input=_given(event))
                yield from self._begin(namespace, event)
            case "agent.finished":
                yield from self._messages.over(namespace)
                self._open.pop(namespace, None)
                yield _lifecycle("completed", event, namespace)
                yield _task("tool-finished", event, output=event["summary"])
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

    def closed(self, phase: str, *, over: bool) -> Iterator[Told]:
        """The end of those who are still at work; they go on later unless the run is ``over``."""
        for namespace, event in self._open.items():
            yield _lifecycle(phase, event, namespace)
            if over and event.get("task_id"):
                yield _task("tool-error", event, message="The run has ended before.")
        self._open.clear()

    def _begin(self, namespace: Namespace, event: Mapping[str, Any]) -> Iterator[Told]:
        if namespace not in self._open:
            self._open[namespace] = event
            yield _lifecycle("started", event, namespace)

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


def _lifecycle(phase: str, event: Mapping[str, Any], namespace: Namespace) -> Told:
    data: dict[str, Any] = {"event": phase, "graph_name": event["agent"]}
    if phase == "started" and event.get("task_id"):
        data["cause"] = {"type": "toolCall", "tool_call_id": event["task_id"]}
    return Told(method="lifecycle", data=data, namespace=namespace)


def _given(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": event["instruction"], "subagent_type": event["agent"]}


def _task(kind: str, event: Mapping[str, Any], **more: Any) -> Told:
    """An agent's task as a call, made where the coordinator is: at the root."""
    data = {"event": kind, "tool_call_id": event["task_id"], "tool_name": "task", **more}
    return Told(method="tools", data=data)


def _tools(kind: str, event: Mapping[str, Any], namespace: Namespace, **more: Any) -> Told:
    data = {"event": kind, "tool_call_id": event["call_id"], "tool_name": event["tool"], **more}
    return Told(method="tools", data=data, namespace=namespace)


def _namespace(event: Mapping[str, Any]) -> Namespace:
    """Under which an agent works: its task, or its name; the coordinator's and the critic's."""
    name = event.get("task_id") or event.get("agent")
    return (f"tools:{name}",) if name else ()


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
