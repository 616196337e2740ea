"""The names of spans and of what they carry; the GenAI conventions are still in development.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ where the conventions have a name, else ours
under ``counterpoint.``.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "counterpoint"

# Spans; {} is an agent, a model, a tool, a number.
CREATE_RUN: Final = "create_run {}"
INVOKE_AGENT: Final = "invoke_agent {}"
STEP: Final = "step {}"
CHAT: Final = "chat {}"
EXECUTE_TOOL: Final = "execute_tool {}"
RETRIEVAL: Final = "retrieval"
STAGE: Final = "retrieval {}"
GUARDRAIL: Final = "guardrail {}"
APPROVAL_REQUEST: Final = "approval_request {}"
APPROVAL_DECISION: Final = "approval_decision {}"
CHECKPOINT: Final = "checkpoint"
NODE_SPAN: Final = "node {}"
COMPLETION: Final = "text_completion {}"

# The conventions' attributes.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TOOL: Final = "gen_ai.tool.name"
TOOL_CALL: Final = "gen_ai.tool.call.id"
ERROR: Final = "error.type"

# Ours.
RUN: Final = "counterpoint.run.id"
TENANT: Final = "counterpoint.tenant"
GRAPH: Final = "counterpoint.graph"
SEGMENT: Final = "counterpoint.segment"
ATTEMPT: Final = "counterpoint.attempt"
QUEUE_SECONDS: Final = "counterpoint.queue_seconds"
STOP_REASON: Final = "counterpoint.stop_reason"
COST: Final = "counterpoint.cost_usd"
STEPS: Final = "counterpoint.steps"
MODEL_CALLS: Final = "counterpoint.model_calls"
TOOL_CALLS: Final = "counterpoint.tool_calls"
NODE: Final = "counterpoint.node"
TASK: Final = "counterpoint.task"
GOES_ON: Final = "counterpoint.goes_on"
STEP_NUMBER: Final = "counterpoint.step"
FIRST: Final = "counterpoint.first_token_seconds"
RULE: Final = "counterpoint.policy.rule"
ARTIFACTS: Final = "counterpoint.artifacts"
REASON: Final = "counterpoint.reason"
HITS: Final = "counterpoint.retrieval.hits"
RELAXED: Final = "counterpoint.retrieval.relaxed"
CANDIDATES: Final = "counterpoint.retrieval.candidates"
SKIPPED: Final = "counterpoint.retrieval.skipped"
VERDICT: Final = "counterpoint.guardrail.verdict"
SIGNS: Final = "counterpoint.guardrail.signs"
LIMIT: Final = "counterpoint.limit"
USED: Final = "counterpoint.limit.used"
MAXIMUM: Final = "counterpoint.limit.maximum"
SHARE: Final = "counterpoint.unsupported_share"
DECISION: Final = "counterpoint.approval.decision"
CHECKPOINT_ID: Final = "counterpoint.checkpoint.id"
SUPERSTEP: Final = "counterpoint.checkpoint.step"
LINK: Final = "counterpoint.link"
"""On a link: ``caller``, ``resumed``, ``retried`` or ``asked``."""

# Content, which only stands in a span where the setting says so.
QUESTION: Final = "counterpoint.content.question"
ANSWER: Final = "counterpoint.content.answer"
INSTRUCTION: Final = "counterpoint.content.instruction"
SUMMARY: Final = "counterpoint.content.summary"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
QUERY: Final = "counterpoint.content.query"
MESSAGE: Final = "counterpoint.content.message"
PROBLEMS: Final = "counterpoint.content.problems"
SOURCE: Final = "counterpoint.content.source"

UNKNOWN: Final = "unknown"
"""In the place of a tool's name that a model made up."""
