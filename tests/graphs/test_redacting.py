"""What a model may not see never reaches it, and everything around it works as if it had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from graphs.redacting import RULE, RedactedModel
from guardrails.redaction import SECRET, Kind
from models.hearing import Heard
from models.scripted import Scripted, ScriptedModel
from server.check_section import CheckSettings

KEY = "sk-proj-a1b2c3d4e5f6a7b8c9d0e1f2"
MAIL = "ada@example.org"
EVERY = frozenset(Kind)
SEND = {
    "type": "function",
    "function": {
        "name": "send",
        "description": "Send a mail",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
            "required": ["to", "text"],
        },
    },
}


class Person(BaseModel):
    """A typed answer."""

    mail: str


async def test_the_prompt_holds_placeholders_and_the_rule() -> None:
    with ScriptedModel(steps=[Scripted(answer="I do not know it.")]) as model:
        await RedactedModel(model, kinds=EVERY).call(
            [
                SystemMessage("You help."),
                HumanMessage(f"Write to {MAIL} with {KEY}"),
                AIMessage("", tool_calls=[{"name": "send", "args": {"to": MAIL}, "id": "c1"}]),
                ToolMessage(f"sent to {MAIL}", tool_call_id="c1"),
            ]
        )
        (asked,) = model.asked
    assert MAIL not in repr(asked.messages)
    assert KEY not in repr(asked.messages)
    assert str(asked.messages[0].content) == f"You help.\n\n{RULE}"
    assert asked.messages[1].content == "Write to [email 1] with [key 1]"
    assert asked.messages[3].content == "sent to [email 1]"


async def test_calls_and_answers_carry_the_values() -> None:
    steps = [
        Scripted(calls=(("send", {"to": "[email 1]", "text": "Hello"}),)),
        Scripted(answer="Sent to [email 1], not to [email 7]."),
        Scripted(answer={"mail": "[email 1]"}),
    ]
    with ScriptedModel(steps=steps) as scripted:
        model = RedactedModel(scripted, kinds=EVERY)
        said = [HumanMessage(f"Write to {MAIL}")]
        called = await model.call(said, tools=[SEND])
        told = await model.call(said)
        typed = await model.call(said, answer=Person)
    assert called.message.tool_calls[0]["args"] == {"to": MAIL, "text": "Hello"}
    assert told.message.text == f"Sent to {MAIL}, not to [email 7]."
    assert typed.answer == {"mail": MAIL}


async def test_only_the_kinds_that_are_named_are_hidden() -> None:
    with ScriptedModel(steps=[Scripted(answer="Yes.")]) as model:
        await RedactedModel(model, kinds=SECRET).call([HumanMessage(f"{MAIL} has {KEY}")])
        (asked,) = model.asked
    assert asked.messages[-1].content == f"{MAIL} has [key 1]"


async def test_a_prompt_without_secrets_goes_as_it_is() -> None:
    said = [SystemMessage("You help."), HumanMessage("How long is the leave?")]
    with ScriptedModel(steps=[Scripted(answer="Six weeks.")]) as model:
        await RedactedModel(model, kinds=EVERY).call(said)
        assert list(model.asked[0].messages) == said


async def _heard(text: str) -> str:
    heard: list[Heard] = []
    with ScriptedModel(steps=[Scripted(answer=text)]) as model:
        reply = await RedactedModel(model, kinds=EVERY).call(
            [HumanMessage(f"Who is {MAIL}?")], heard=heard.append
        )
    assert {one.message_id for one in heard} <= {reply.message.id}
    assert "".join(one.text for one in heard) == reply.message.text
    return "".join(one.text for one in heard)


async def test_readers_hear_the_values_whole() -> None:
    assert await _heard("It is [email 1], as said [1].") == f"It is {MAIL}, as said [1]."


async def test_a_bracket_that_never_closes_is_heard_too() -> None:
    assert await _heard("an open [email") == "an open [email"


@given(st.text(alphabet="[] email1x", min_size=1, max_size=80))
async def test_what_is_heard_is_what_is_answered(text: str) -> None:
    await _heard(text)


async def test_pieces_of_a_failed_attempt_are_void() -> None:
    class TwoAttempts(ScriptedModel):
        async def call(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
            hear = options["heard"]
            assert callable(hear)
            hear(Heard(text="lost [ema", reasoning="", message_id="msg_first"))
            return await super().call(*args, **options)  # type: ignore[arg-type]

    heard: list[Heard] = []
    with TwoAttempts(steps=[Scripted(answer="It is [email 1].")]) as model:
        await RedactedModel(model, kinds=EVERY).call([HumanMessage(MAIL)], heard=heard.append)
    assert [one.text for one in heard if one.message_id == "msg_first"] == ["lost "]
    assert "".join(one.text for one in heard[1:]) == f"It is {MAIL}."


def test_a_model_in_the_house_sees_all_unless_told_otherwise() -> None:
    assert CheckSettings().hidden_kinds("http://127.0.0.1:8000/v1") == frozenset()
    assert CheckSettings().hidden_kinds("https://api.example.com/v1") == SECRET
    every = CheckSettings(redact_prompts="all", redact_prompts_to="every")
    assert every.hidden_kinds("http://127.0.0.1:8000/v1") == EVERY
    assert CheckSettings(redact_prompts="off").hidden_kinds("https://x.example.com") == frozenset()
