"""The context of a passage by a model: asked within a share of the day, and never in the way."""

from __future__ import annotations

from datetime import date

import pytest

from models.attempts import TokenUsage
from models.errors import ModelUnreachable
from models.scripted import Scripted, ScriptedModel
from server.situating import AGENT, DayShares, ModelSituating, prompt
from tools.retrieval.chunks import chunk
from tools.retrieval.documents import Parsed
from tools.retrieval.parse import InlineParser
from tools.retrieval.situating import LONGEST, NotSituated

USAGE = TokenUsage(input_tokens=400, output_tokens=100)


async def parsed() -> Parsed:
    text = "# Acme report\n\nThe year 2026.\n\n" + "\n\n".join(
        f"## Quarter {number}\n\n{'Words. ' * 400} It grew by {number} %." for number in range(4)
    )
    return await InlineParser().parse(text.encode(), name="report.md")


def shares(*, max_cost: float = 1.0, max_tokens: int = 1_000_000) -> DayShares:
    return DayShares(max_cost=max_cost, max_tokens=max_tokens)


async def situated(model: ScriptedModel, among: DayShares, *, tenant: str = "acme") -> str:
    document = await parsed()
    passage = chunk(document, document_id="d")[-1]
    situating = ModelSituating(among, model=model)
    return await situating.situate(passage, document=document, tenant=tenant)


async def test_a_passage_is_asked_about_with_what_stands_around_it() -> None:
    with ScriptedModel(steps=[Scripted(agent=AGENT, answer=" On Acme's\nlast quarter. ")]) as model:
        assert await situated(model, shares()) == "On Acme's last quarter."
    text = model.asked[0].text
    for words in ("Acme report > Quarter 3", "It grew by 3 %.", "The year 2026.", "<before>"):
        assert words in text
    assert len(text) < 7_000


async def test_the_prompt_is_bounded_whatever_the_document() -> None:
    document = await parsed()
    for passage in chunk(document, document_id="d"):
        assert sum(len(str(one.text)) for one in prompt(passage, document=document)) < 7_000


async def test_a_long_context_is_cut() -> None:
    with ScriptedModel(steps=[Scripted(answer="word " * 500)]) as model:
        assert len(await situated(model, shares())) <= LONGEST


async def test_a_failure_leaves_the_plain_passage(caplog: pytest.LogCaptureFixture) -> None:
    gone = ModelUnreachable("nobody answers", model="m")
    document = await parsed()
    passage = chunk(document, document_id="d")[0]
    with ScriptedModel(
        steps=[Scripted(error=gone), Scripted(error=gone), Scripted(answer=" ")]
    ) as model:
        situating = ModelSituating(shares(), model=model)
        for _ in range(3):
            with pytest.raises(NotSituated):
                await situating.situate(passage, document=document, tenant="acme")
    assert caplog.text.count("nobody answers") == 1, "told once"
    with pytest.raises(NotSituated, match="no chat model"):
        await ModelSituating(shares()).situate(passage, document=document, tenant="acme")


async def test_a_tenants_share_of_the_day_ends_it_and_nobody_elses() -> None:
    today = date(2026, 11, 25)
    among = DayShares(max_cost=1.0, max_tokens=3_000, today=lambda: today)
    usage = TokenUsage(input_tokens=2_400, output_tokens=100)
    steps = [Scripted(answer="Here.", usage=usage) for _ in range(3)]
    with ScriptedModel(steps=steps) as model:
        assert await situated(model, among) == "Here."
        with pytest.raises(NotSituated, match="contextual_max_tokens"):
            await situated(model, among)
        assert await situated(model, among, tenant="other") == "Here."
        today = date(2026, 11, 26)
        assert await situated(model, among) == "Here."


async def test_what_an_attempt_costs_is_counted() -> None:
    model = ScriptedModel(steps=[Scripted(answer="Here.", usage=USAGE)], price=100.0)
    with pytest.raises(NotSituated, match="contextual_max_cost"):
        await situated(model, shares(max_cost=0.001))
    assert model.asked == []
