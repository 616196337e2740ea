"""The critic at work: deterministic checks, then a model's judgement, into one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from agents import agent as agent_module
from agents import critic, researcher
from graphs import evidence, guarding, making, understanding
from graphs.context import TeamContext
from graphs.node import ask
from graphs.state import Finding
from guardrails import citations, grounding, labels, spans
from models.errors import MalformedStep

# Only a larger model is asked to judge: each claim's passage has to be before it.
_LARGER = 4


@dataclass(frozen=True, kw_only=True)
class Verdicted:
    """Whether a draft holds, and each claim that does not."""

    supported: bool
    problems: tuple[grounding.Problem, ...] = ()


async def judge(
    draft: str, *, question: str, findings: Sequence[Finding], runtime: Runtime[TeamContext]
) -> Verdicted:
    """The verdict on a draft. Raises LimitExceededError.

    A number has to come from a passage, the question or a computation, and has to stand in those
    sentences that its claim is cited from; a line of a list has to be the one that the question
    names. What can only be judged is asked of the model critic.
    """
    context = runtime.context
    passages = evidence.interleave([finding["sources"] for finding in findings])
    texts = [str(passage["text"]) for passage in passages]
    computed = [finding["output"] for finding in findings if finding["output"]]
    computed += making.outputs_of(findings)
    stated = [*texts, *map(evidence.place, passages)]
    loose = grounding.ungrounded_claims(draft, [*stated, *computed, question])
    if loose:
        return Verdicted(supported=False, problems=tuple(loose))
    if computed or not passages:
        return Verdicted(supported=True)
    if any(finding["agent"] == researcher.SUMMARISER for finding in findings):
        # Each of its sentences was held against its passages when the note was taken.
        return Verdicted(supported=True)
    places = list(map(evidence.place, passages))
    beside = spans.unsupported(draft, texts, known=[question], places=places)
    beside = beside or labels.beside(question, draft, texts)
    if beside:
        return Verdicted(supported=False, problems=tuple(beside))
    if words := understanding.unspoken(question, passages):
        return _refused(draft, f"nothing found speaks of {', '.join(words)}")
    _, used = citations.cite(draft, texts)
    chosen = [passages[index] for index in used] or passages[:1]
    if context.models[context.agents[critic.NAME].role].plain:
        if any(finding["round"] > 0 for finding in findings):
            # Two readings against one: the second draft stands.
            return Verdicted(supported=True)
        best = evidence.merge(passages[:1], chosen[:1])
        return await _read_again(
            draft, question=question, passages=best, stated=stated, runtime=runtime
        )
    judged = await _ask(draft, question=question, passages=chosen, runtime=runtime)
    if judged is None or judged.supported:
        return Verdicted(supported=True)
    return _refused(draft, judged.reason)


def _refused(draft: str, reason: str) -> Verdicted:
    return Verdicted(
        supported=False,
        problems=tuple(
            grounding.Problem(claim=sentence, reason=reason)
            for sentence in grounding.sentences(draft)
        ),
    )


async def _read_again(
    draft: str,
    *,
    question: str,
    passages: Sequence[evidence.Passage],
    stated: Sequence[str],
    runtime: Runtime[TeamContext],
) -> Verdicted:
    """A second, blind reading of the best and the cited passage; other numbers disagree.

    Measured: a small critic that is shown the draft agrees with everything.
    """
    agent = runtime.context.agents[critic.READER]
    shown = evidence.fit(passages, characters=agent.evidence)
    asked = f"Question: {question}"
    prompt = f"{asked}\n\nPassages:\n{evidence.numbered(shown)}\n\n{asked}"
    try:
        reply = await ask(agent, [HumanMessage(prompt)], runtime)
    except MalformedStep:
        # No second reading disagrees.
        return Verdicted(supported=True)
    move = agent.read(reply.message.text)
    if not isinstance(move, agent_module.Say):
        missing = grounding.missing_words(question, stated)
        if missing:
            return _refused(draft, f"nothing found speaks of {', '.join(missing)}")
        return Verdicted(supported=True)
    known = grounding.numbers(question)
    first = grounding.numbers(citations.without_marks(draft)) - known
    second = grounding.numbers(citations.without_marks(move.text)) - known
    if first and second and not first & second:
        return _refused(draft, f"a second reading says: {citations.without_marks(move.text)}")
    return Verdicted(supported=True)


async def _ask(
    draft: str,
    *,
    question: str,
    passages: Sequence[evidence.Passage],
    runtime: Runtime[TeamContext],
) -> critic.Judgement | None:
    """The model critic's judgement; None where it could not be read."""
    agent = runtime.context.agents[critic.NAME]
    shown = evidence.fit(passages, characters=_LARGER * agent.evidence)
    text = "\n\n".join(f"{evidence.place(passage)}\n{passage['text']}" for passage in shown)
    answer = citations.without_marks(draft)
    passage = guarding.data(text, plain=runtime.context.model_for(agent).plain)
    prompt = f"Passage: {passage}\nQuestion: {question}\nAnswer: {answer}"
    try:
        reply = await ask(agent, [HumanMessage(prompt)], runtime, answer=critic.Judgement)
    except MalformedStep:
        return None
    return critic.Judgement.model_validate(reply.answer)
