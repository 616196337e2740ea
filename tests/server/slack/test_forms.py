"""Forms made from a schema, and what was typed into them."""

from __future__ import annotations

import pytest

from server.approvals.record import Approval
from server.slack import filling, forms, modals
from tests.server.slack import block_kit, scenes
from tests.server.slack.office import untouched


def test_a_schema_of_a_hundred_arguments_is_one_piece_of_json() -> None:
    schema = {"properties": {f"a{at}": {"type": "string"} for at in range(100)}}
    one = scenes.asked(schema=schema, args={"a1": "x"})
    view = modals.edit(one, scenes.OPENED)
    block_kit.view(view)
    assert [block["type"] for block in view["blocks"]].count("input") == 1
    state = {forms.ALL: {forms.VALUE: {"value": '{"a1": "y", "a2": "z"}'}}}
    assert filling.filled([], state, args=one.args).args == {"a1": "y", "a2": "z"}


def test_what_is_typed_is_read_as_the_schema_has_it() -> None:
    one = scenes.asked()
    assert fill(one, amount="90.5", note="less").args == {
        **scenes.ARGS,
        "amount": 90.5,
        "note": "less",
    }
    assert fill(one, notify="false", currency="choice:1").args == {
        **scenes.ARGS,
        "notify": False,
        "currency": "USD",
    }
    assert fill(one, notify="absent", lines='[{"sku": "x"}]').args == {
        name: value
        for name, value in {**scenes.ARGS, "lines": [{"sku": "x"}]}.items()
        if name != "notify"
    }


@pytest.mark.parametrize(
    ("given_", "name", "words"),
    [
        ({"amount": "much"}, "amount", "Write a number"),
        ({"amount": ""}, "amount", "Fill this in"),
        ({"amount": "NaN"}, "amount", "Write a number"),
        ({"amount": "1e999"}, "amount", "Write a number"),
        ({"lines": "[1,"}, "lines", "Not JSON"),
        ({"lines": "[“a”]"}, "lines", "straight quotes"),
        ({"lines": "[" * 100_000}, "lines", "nested too deep"),
        ({"currency": "choice:7"}, "currency", "Choose one of the list"),
        ({"currency": "choice:x"}, "currency", "Choose one of the list"),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field(
    given_: dict[str, str], name: str, words: str
) -> None:
    one = scenes.asked()
    found = fill(one, **given_)
    block_id = next(f.block_id for f in forms.fields(one.schema, one.args) if f.name == name)
    assert words in found.errors[block_id]
    block_kit.errors(found.errors, modals.edit(one, scenes.OPENED))


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("args.amount", "amount"),
        ("args.lines.0.price", "lines"),
        ("args", "order"),
        ("message", "order"),
        ("args.a.b", "a.b"),
        ("args.a", "a"),
    ],
)
def test_an_error_of_the_server_is_shown_at_its_field(where: str, name: str) -> None:
    shown = forms.fields(scenes.SCHEMA, {**scenes.ARGS, "a": 1, "a.b": 2})
    at = filling.place_of(shown, where)
    assert next(one.name for one in shown if one.block_id == at) == name


def test_what_is_too_long_for_slack_is_kept_and_says_so() -> None:
    shown = forms.fields(scenes.LONG.schema, scenes.LONG.args)
    assert shown[-1].control is forms.Control.KEPT
    assert "Too long to be edited in Slack" in str(forms.form(shown, scenes.LONG.args))
    assert fill(scenes.LONG, order="B-1").args["text"] == scenes.LONG.args["text"]


def fill(one: Approval, **typed_: str) -> filling.Filled:
    """The form of an approval with this typed into it."""
    shown = forms.fields(one.schema, one.final_args)
    state = untouched(forms.form(shown, one.final_args))
    for field in shown:
        if field.name in typed_:
            element = state[field.block_id][forms.VALUE]
            if element["type"] == "static_select":
                element["selected_option"] = {"value": typed_[field.name]}
            else:
                element["value"] = typed_[field.name] or None
    return filling.filled(shown, state, args=one.final_args)
