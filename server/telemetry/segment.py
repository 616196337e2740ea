"""The spans of one segment: what one worker did of a run, from its claim until it let go.

Made of the events that the run tells, which need no order beside their own: an agent or a step
begins with the first thing that is heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from graphs import events
from graphs.scoped_saver import Saved
from server.runs.asked import TEAM
from server.runs.record import RunRecord
from server.telemetry import inner, names, span, verdicts
from server.telemetry.content import Writer, question_of
from server.telemetry.hearing import Heard, Left
from server.telemetry.plain_names import plain_id
from server.telemetry.span import Link, Span, Value

MOST = 2_000
"""Spans of one segment; what comes after them is counted only."""
_PROVIDER = "openai_compatible"


@dataclass(slots=True, kw_only=True)
class _Agent:
    """An agent at work; ``step`` is the step it is in, ``last`` when something of it ended."""

    span: Span
    started: bool
    step: Span | None = None
    number: int = 0
    last: float


class Segment:
    """Takes a segment's events and gives its spans: those that ended, and those still open."""

    def __init__(
        self, record: RunRecord, *, at: float, tools: Collection[str], content: Writer
    ) -> None:
        self.run_id = record.run_id
        self.token = record.token
        self.over = False
        self._dropped = 0
        self._record = record
        self._tools = tools
        self.content = content
        self._made = 0
        self._ended: list[Span] = []
        self._agents: dict[str, _Agent] = {}
        self._calls: dict[tuple[str, str], Span] = {}
        self.inner: dict[UUID, Span] = {}
        self.root = self._opened(record, at)

    def ended(self) -> list[Span]:
        """The spans that ended since this was asked last."""
        ended, self._ended = self._ended, []
        return ended

    def open(self) -> list[Span]:
        """The spans that have not ended yet."""
        if self.over:
            return []
        steps = [one.step for one in self._agents.values() if one.step is not None]
        agents = [one.span for one in self._agents.values()]
        return [self.root, *agents, *steps, *self._calls.values(), *self.inner.values()]

    def hear(self, event: Heard, *, at: float) -> bool:
        """Take note of an event, ``at`` in seconds since the epoch; whether there was any need."""
        note = NOTES.get(type(event))
        if note is None or self.over:
            return False
        note(self, event, at)
        return True

    def take_dropped(self) -> int:
        """How many spans found no room since this was asked last."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _opened(self, record: RunRecord, at: float) -> Span:
        asked = record.asked
        of = plain_id(asked.agent if asked.graph == TEAM else asked.graph)
        root = Span(
            span_id=span.segment_id(record.run_id, record.token),
            parent=span.root_id(record.run_id),
            name=names.INVOKE_AGENT.format(of),
            start=at,
            kind="consumer",
            attributes={
                names.OPERATION: "invoke_agent",
                names.AGENT: of,
                names.CONVERSATION: record.thread_id,
                names.RUN: record.run_id,
                names.TENANT: record.tenant,
                names.GRAPH: asked.graph,
                names.SEGMENT: record.token,
            },
        )
        since = record.due_at or record.created_at
        if record.token == 1 and since is not None:
            root.attributes[names.QUEUE_SECONDS] = round(max(0.0, at - since.timestamp()), 3)
        self.content.put(root.attributes, names.QUESTION, question_of(asked))
        return root

    def add(
        self, parent: Span, name: str, *, start: float, end: float | None = None, **more: Any
    ) -> Span:
        """A span under another one; one with an end is over at once."""
        made = Span(
            span_id=more.pop("span_id", None) or span.new_id(),
            parent=parent.span_id,
            name=name,
            start=min(start, end) if end is not None else start,
            end=end,
            **more,
        )
        if end is not None:
            self.end(made, end)
        return made

    def end(self, one: Span, at: float) -> None:
        """A span is over."""
        one.end = max(one.start, at)
        self._made += 1
        if self._made > MOST and one is not self.root:
            self._dropped += 1
            return
        self._ended.append(one)

    # Agents and their steps

    def _agent(self, name: str, task_id: str, *, at: float, started: bool = False) -> _Agent:
        key = task_id or name
        found = self._agents.get(key)
        if found is not None and not started:
            return found
        if found is not None:
            self._end_agent(key, at)
        if not task_id:
            # Who has no task of its own works alone: who did so before is done.
            for other in [key for key, one in self._agents.items() if not one.started]:
                self._end_agent(other)
        attributes: dict[str, Value] = {names.OPERATION: "invoke_agent", names.AGENT: name}
        if task_id:
            attributes[names.TASK] = plain_id(task_id)
            if not started:
                attributes[names.GOES_ON] = True
        made = self.add(self.root, names.INVOKE_AGENT.format(name), start=at, attributes=attributes)
        agent = self._agents[key] = _Agent(span=made, started=started or bool(task_id), last=at)
        return agent

    def _end_agent(self, key: str, at: float | None = None) -> None:
        agent = self._agents.pop(key)
        self._end_step(agent)
        self.end(agent.span, agent.last if at is None else at)

    def _end_step(self, agent: _Agent) -> None:
        if agent.step is not None:
            self.end(agent.step, agent.last)
            agent.step = None

    def place(self, agent: str, task_id: str, at: float) -> Span:
        """What a thing of an agent's is part of."""
        found = self._agent(agent, task_id, at=at)
        found.last = max(found.last, at)
        return found.step or found.span

    def alone(self, at: float) -> Span | None:
        """The agent that works without a task of its own, such as the critic; it does so still."""
        found = [one for one in self._agents.values() if not one.started]
        for one in found:
            one.last = max(one.last, at)
        return found[-1].span if found else None

    def _agent_started(self, event: events.AgentStarted, at: float) -> None:
        agent = self._agent(event.agent, event.task_id, at=at, started=True)
        self.content.put(agent.span.attributes, names.INSTRUCTION, event.instruction)

    def _agent_finished(self, event: events.AgentFinished, at: float) -> None:
        agent = self._agent(event.agent, event.task_id, at=at)
        self.content.put(agent.span.attributes, names.SUMMARY, event.summary)
        self._end_agent(event.task_id or event.agent, at)

    def _model_called(self, event: events.ModelCalled, at: float) -> None:
        start = at - event.seconds
        agent = self._agent(event.agent, event.task_id, at=start)
        begins = event.step != agent.number or (event.step == 0 and event.attempt == 1)
        if agent.step is None or begins:
            self._end_step(agent)
            agent.number = event.step
            agent.step = self.add(
                agent.span,
                names.STEP.format(event.step),
                start=start,
                attributes={names.STEP_NUMBER: event.step, names.AGENT: event.agent},
            )
        agent.last = max(agent.last, at)
        attributes: dict[str, Value] = {
            names.OPERATION: "chat",
            names.PROVIDER: _PROVIDER,
            names.MODEL: event.model,
            names.AGENT: event.agent,
            names.INPUT_TOKENS: event.input_tokens,
            names.OUTPUT_TOKENS: event.output_tokens,
            names.COST: event.cost,
            names.ATTEMPT: event.attempt,
            names.STEP_NUMBER: event.step,
        }
        if event.finish_reason:
            attributes[names.FINISH_REASONS] = [plain_id(event.finish_reason)]
        if event.first_token_seconds is not None:
            attributes[names.FIRST] = round(event.first_token_seconds, 6)
        self.add(
            agent.step,
            names.CHAT.format(event.model),
            start=start,
            end=at,
            kind="client",
            error=event.error if event.error or event.ok else "_OTHER",
            attributes=attributes,
        )

    # Tools and searches

    def tool_name(self, name: str) -> str:
        """A tool's name; what no tool of ours is called may be anything."""
        return name if name in self._tools else names.UNKNOWN

    def _tool_started(self, event: events.ToolStarted, at: float) -> None:
        tool = self.tool_name(event.tool)
        attributes: dict[str, Value] = {
            names.OPERATION: "execute_tool",
            names.TOOL: tool,
            names.TOOL_CALL: plain_id(event.call_id),
            names.AGENT: event.agent,
        }
        if event.rule:
            attributes[names.RULE] = event.rule
        self.content.put(attributes, names.ARGUMENTS, event.args)
        place = self.place(event.agent, event.task_id, at)
        self._calls[event.task_id, event.call_id] = self.add(
            place, names.EXECUTE_TOOL.format(tool), start=at, attributes=attributes
        )

    def _tool_finished(self, event: events.ToolFinished, at: float) -> None:
        call = self._calls.pop((event.task_id, event.call_id), None)
        self.place(event.agent, event.task_id, at)
        if call is None:
            return
        call.error = "" if event.ok else "tool_error"
        self.content.put(call.attributes, names.RESULT, event.summary)
        self.end(call, at)

    def _artifact(self, event: events.ArtifactMade, at: float) -> None:
        del at
        if (call := self._calls.get((event.task_id, event.call_id))) is not None:
            count = call.attributes.get(names.ARTIFACTS, 0)
            call.attributes[names.ARTIFACTS] = int(count) + 1 if isinstance(count, int) else 1

    def _retrieval(self, event: events.RetrievalQuery, at: float) -> None:
        call = self._calls.get((event.task_id, event.call_id))
        seconds = sum(stage.ms for stage in event.stages) / 1_000
        start = at - seconds
        attributes: dict[str, Value] = {
            names.OPERATION: "retrieval",
            names.REASON: event.reason,
            names.HITS: event.hits,
            names.RELAXED: event.relaxed,
        }
        self.content.put(attributes, names.QUERY, event.query)
        parent = call or self.place(event.agent, event.task_id, at)
        found = self.add(
            parent, names.RETRIEVAL, start=max(start, parent.start), end=at, attributes=attributes
        )
        for stage in event.stages:
            ends = start + stage.ms / 1_000
            of: dict[str, Value] = {names.CANDIDATES: stage.candidates}
            if stage.skipped:
                of[names.SKIPPED] = True
                self.content.put(of, names.MESSAGE, stage.skipped)
            name = names.STAGE.format(plain_id(stage.name))
            self.add(found, name, start=start, end=ends, attributes=of)
            start = ends

    # The segment itself

    def _started(self, event: events.RunStarted, at: float) -> None:
        del at
        self.root.attributes[names.ATTEMPT] = event.attempt
        if self.token > 1:
            before = span.segment_id(self.run_id, self.token - 1)
            why = "resumed" if event.attempt == 1 and self._record.resumes else "retried"
            trace_id = span.trace_id_of(self.run_id)
            self.root.links.append(Link(trace_id=trace_id, span_id=before, why=why))

    def _saved(self, event: Saved, at: float) -> None:
        self.add(
            self.root,
            names.CHECKPOINT,
            start=at - event.seconds,
            end=at,
            kind="client",
            attributes={
                names.CHECKPOINT_ID: event.checkpoint_id,
                names.SUPERSTEP: event.step,
            },
        )

    def _finished(self, event: events.RunFinished, at: float) -> None:
        self.root.attributes[names.STOP_REASON] = event.stop_reason
        self.content.put(self.root.attributes, names.ANSWER, event.answer)
        self._spent(event.usage)
        self._close(at)

    def _failed(self, event: events.RunFailed, at: float) -> None:
        self.root.attributes[names.STOP_REASON] = "failed"
        self.content.put(self.root.attributes, names.MESSAGE, event.message)
        self._spent(event.usage)
        self._close(at, error=event.error)

    def _interrupted(self, event: events.RunInterrupted, at: float) -> None:
        self.root.attributes[names.STOP_REASON] = "interrupted"
        self._spent(event.usage)
        self._close(at)

    def _left(self, event: Left, at: float) -> None:
        if not event.ended:
            why = "lost" if event.lost else "given_back"
            self.root.attributes[names.STOP_REASON] = why
            self._close(at, error=why)

    def _spent(self, usage: events.Usage) -> None:
        self.root.attributes |= {
            names.INPUT_TOKENS: usage.input_tokens,
            names.OUTPUT_TOKENS: usage.output_tokens,
            names.COST: usage.cost,
            names.STEPS: usage.steps,
            names.MODEL_CALLS: usage.model_calls,
            names.TOOL_CALLS: usage.tool_calls,
        }

    def _close(self, at: float, *, error: str = "") -> None:
        for call in (*self.inner.values(), *self._calls.values()):
            call.error = error or "unfinished"
            self.end(call, at)
        self._calls.clear()
        self.inner.clear()
        for key, agent in list(self._agents.items()):
            # An agent that waits for a person has ended with what it did last.
            self._end_agent(key, agent.last)
        self.root.error = error
        self.end(self.root, at)
        self.over = True


NOTES: dict[type[Any], Callable[[Segment, Any, float], None]] = {
    events.RunStarted: Segment._started,
    events.AgentStarted: Segment._agent_started,
    events.AgentFinished: Segment._agent_finished,
    events.ModelCalled: Segment._model_called,
    events.ToolStarted: Segment._tool_started,
    events.ToolFinished: Segment._tool_finished,
    events.ToolRefused: verdicts.refused,
    events.ArtifactMade: Segment._artifact,
    events.ApprovalRequested: verdicts.asked,
    events.ApprovalDecided: verdicts.decided,
    events.DocumentSuspicious: verdicts.suspicious,
    events.LoopNoticed: verdicts.loop,
    events.RetrievalQuery: Segment._retrieval,
    events.Verdict: verdicts.critic,
    events.LimitReached: verdicts.limit,
    events.LimitNear: verdicts.limit,
    Saved: Segment._saved,
    inner.Began: inner.began,
    inner.Ended: inner.ended,
    events.RunFinished: Segment._finished,
    events.RunFailed: Segment._failed,
    events.RunInterrupted: Segment._interrupted,
    Left: Segment._left,
}
"""What is not here leaves no span: pieces of text and of streams, above all."""

ENDS = frozenset({events.RunFinished, events.RunFailed, events.RunInterrupted, Left})
"""After these there is nothing more to hear of a segment."""
