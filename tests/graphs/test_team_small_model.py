"""The team with a model that follows no tool template: it reads plain words, one job a call."""

from __future__ import annotations

from guardrails import policy
from models.scripted import Scripted, ScriptedModel
from tests.graphs.team_house import (
    DIEM,
    LEAVE,
    PLAN_RESEARCH,
    REFUND,
    House,
    passage,
)
from tools.sandbox.scripted import ScriptedSandbox, failed, finished

QUESTION = "How long can I return a plan?"
FACTS = "- Austria: 44 EUR a full day.\n- Denmark: 62 EUR a full day."
CODE = "print(3 * 44 + 2 * 62, 'EUR')"
CALCULATE = {"move": "calculate", "text": "", "tasks": ["3 days Austria, 2 Denmark?"]}


def planned(answer: object = PLAN_RESEARCH) -> Scripted:
    return Scripted(agent="coordinator", answer=answer)  # type: ignore[arg-type]


async def test_what_the_passages_do_not_hold_is_looked_for_once_more_in_other_words() -> None:
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="NOT FOUND"),
            Scripted(
                agent="researcher",
                contains="in other words",
                tools=("search_documents",),
                calls=(("search_documents", {"query": "money back"}),),
            ),
            Scripted(agent="researcher", contains=REFUND, answer="Within 45 days."),
            Scripted(agent="critic", contains=REFUND, answer="45 days."),
        ],
        plain=True,
    ) as model:
        house = House(
            model,
            found={
                "money back": [passage(REFUND, chunk_id="refund")],
                "": [passage(LEAVE, chunk_id="leave")],
            },
        )
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "Within 45 days [1]."
    assert house.asked == [QUESTION, "money back"]


async def test_what_no_document_says_is_not_invented() -> None:
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="NOT FOUND"),
            Scripted(agent="researcher", calls=(("search_documents", {"query": "parents"}),)),
        ],
        plain=True,
    ) as model:
        outcome = await House(model).answered("How much parental leave do I get?")
    assert outcome.stop_reason == "not_found"
    assert outcome.answer.startswith("The documents do not say that.")
    assert outcome.sources == []


async def test_an_empty_collection_is_told_as_such() -> None:
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="NOT FOUND"),
            Scripted(agent="researcher", calls=(("search_documents", {"query": "other"}),)),
            Scripted(agent="researcher", answer="NOT FOUND"),
        ],
        plain=True,
    ) as model:
        outcome = await House(model, found={}).answered(QUESTION)
    assert "no documents to answer from" in outcome.answer


async def test_a_search_that_the_policy_refuses_is_not_taken_for_an_empty_collection() -> None:
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="NOT FOUND"),
            Scripted(agent="researcher", calls=(("search_documents", {"query": "other"}),)),
            Scripted(agent="researcher", answer="NOT FOUND"),
        ],
        plain=True,
    ) as model:
        outcome = await House(model, rules=()).answered(QUESTION)
    assert outcome.answer == (
        "The documents were not searched: search_documents was refused: "
        "no rule of the policy allows search_documents."
    )


async def test_a_computation_is_run_in_the_sandbox_and_its_result_stated() -> None:
    with ScriptedModel(
        steps=[
            planned(CALCULATE),
            Scripted(agent="researcher", contains=DIEM, answer=FACTS),
            Scripted(agent="coder", contains=FACTS, answer=f"So:\n```python\n{CODE}\n```"),
        ],
        plain=True,
    ) as model:
        sandbox = ScriptedSandbox([finished("256 EUR\n")])
        house = House(model, sandbox=sandbox, found={"": [passage(DIEM, chunk_id="diem")]})
        outcome = await house.answered("3 days in Austria and 2 in Denmark: how much per diem?")
    assert outcome.answer == "So: The result is 256 EUR [1]."
    assert [source.chunk_id for source in outcome.sources] == ["diem"]
    assert house.events[-1].type == "critic.verdict"


async def test_code_that_fails_is_mended_from_its_error() -> None:
    with ScriptedModel(
        steps=[
            planned(CALCULATE),
            Scripted(agent="researcher", answer=FACTS),
            Scripted(agent="coder", answer="```python\nprint(x)\n```"),
            Scripted(agent="coder", contains="NameError", answer=f"```python\n{CODE}\n```"),
        ],
        plain=True,
    ) as model:
        sandbox = ScriptedSandbox([failed("NameError: x"), finished("256 EUR\n")])
        house = House(model, sandbox=sandbox, found={"": [passage(DIEM, chunk_id="diem")]})
        outcome = await house.answered("3 days in Austria and 2 in Denmark?")
    assert "256 EUR" in outcome.answer


async def test_without_a_sandbox_the_team_goes_on_and_says_what_the_documents_say() -> None:
    with ScriptedModel(
        steps=[
            planned(CALCULATE),
            Scripted(agent="researcher", answer="Austria 44 EUR, Denmark 62 EUR."),
            Scripted(agent="coder", answer=f"```python\n{CODE}\n```"),
            Scripted(agent="coder", contains="has no tool", answer="NOT FOUND"),
            Scripted(agent="critic", answer="Austria 44 EUR, Denmark 62 EUR."),
        ],
        plain=True,
    ) as model:
        house = House(model, found={"": [passage(DIEM, chunk_id="diem")]})
        outcome = await house.answered("3 days in Austria and 2 in Denmark?")
    assert outcome.answer.startswith("Austria 44 EUR, Denmark 62 EUR [1].")
    assert outcome.answer.endswith("The result could not be calculated from that.")


async def test_a_sum_that_the_facts_do_not_state_is_not_passed_on() -> None:
    """A small model adds up where it should list: 106 stands in no passage."""
    with ScriptedModel(
        steps=[
            planned(CALCULATE),
            Scripted(agent="researcher", answer=f"{FACTS}\n- Total: 106 EUR."),
            Scripted(
                agent="coder",
                when=lambda asked: FACTS in asked.last and "106" not in asked.last,
                answer=f"```python\n{CODE}\n```",
            ),
        ],
        plain=True,
    ) as model:
        sandbox = ScriptedSandbox([finished("256 EUR\n")])
        house = House(model, sandbox=sandbox, found={"": [passage(DIEM, chunk_id="diem")]})
        outcome = await house.answered("3 days in Austria and 2 in Denmark?")
    assert "256 EUR" in outcome.answer


async def test_a_follow_up_is_made_complete_before_it_is_planned() -> None:
    complete = "How long can I return a monthly plan?"
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", contains="And a monthly one?", answer=complete),
            Scripted(
                agent="coordinator",
                when=lambda asked: asked.last == complete,
                answer={"move": "research", "text": "", "tasks": [complete]},
            ),
            Scripted(agent="researcher", contains=complete, answer="Within 45 days."),
            Scripted(agent="critic", answer="45 days"),
        ],
        plain=True,
    ) as model:
        house = House(model)
        outcome = await house.answered(QUESTION, "45 days for annual plans.", "And a monthly one?")
    assert house.asked == [complete]
    assert outcome.answer == "Within 45 days [1]."


async def test_a_part_that_refers_back_waits_for_the_part_before_it() -> None:
    two = {"move": "research", "text": "", "tasks": ["Which plan is it?", "What does that cost?"]}
    with ScriptedModel(
        steps=[
            planned(two),
            Scripted(agent="researcher", contains="Which plan", answer="The Business plan."),
            Scripted(agent="researcher", contains="Business plan", answer="It costs 44 EUR."),
            Scripted(agent="critic", answer="44 EUR"),
        ],
        plain=True,
    ) as model:
        house = House(model, found={"": [passage(DIEM, chunk_id="diem")]})
        outcome = await house.answered("Which plan is it and what does that cost?")
    assert outcome.answer == "The Business plan. It costs 44 EUR [1]."


async def test_a_small_critic_reads_the_cited_passage_anew_and_a_disagreement_goes_back() -> None:
    """30 stands in another passage, so the count of numbers alone does not notice."""
    other = "Tablets can be sent back within 30 days."
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="A plan: refund within 30 days [1]."),
            Scripted(agent="critic", contains=REFUND, answer="Within 45 days [1]."),
            Scripted(agent="researcher", contains="a second reading says", answer="45 days."),
        ],
        plain=True,
    ) as model:
        house = House(
            model,
            found={"": [passage(REFUND, chunk_id="refund"), passage(other, chunk_id="tablet")]},
        )
        outcome = await house.answered(QUESTION)
    assert outcome.answer == "45 days [1]."


async def test_a_tool_that_no_rule_allows_does_not_run() -> None:
    rules = (policy.Rule(tool="run_python", decision=policy.Decision.ALLOW),)
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", contains="was refused", answer="NOT FOUND"),
            Scripted(agent="researcher", calls=(("search_documents", {"query": "again"}),)),
            Scripted(agent="researcher", contains="was refused", answer="NOT FOUND"),
        ],
        plain=True,
    ) as model:
        house = House(model, rules=rules)
        await house.run(QUESTION)
    assert house.asked == []
    assert "tool.started" not in house.kinds()


async def test_the_coder_alone_calculates_with_what_it_is_told() -> None:
    with ScriptedModel(
        steps=[Scripted(agent="coder", contains="first 50 primes", answer="```python\nf()\n```")],
        plain=True,
    ) as model:
        house = House(model, sandbox=ScriptedSandbox([finished("5117\n")]))
        outcome = await house.answered("Sum of the first 50 primes?", agent="coder")
    assert outcome.answer == "The result is 5117."
    assert house.asked == []
