"""The card of an approval, as it stands: what is asked, or who decided what and when. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from guardrails.policy import Choice, OnExpiry
from server.approvals.record import Approval, ApprovalStatus, Decided, Kind
from server.slack import blocks, text
from server.slack.blocks import Block

APPROVE = "approval_approve"
EDIT = "approval_edit"
REJECT = "approval_reject"
RESPOND = "approval_respond"
SHOW = "approval_show"
ACTIONS: Mapping[str, Choice | None] = {
    APPROVE: Choice.APPROVE,
    EDIT: Choice.EDIT,
    REJECT: Choice.REJECT,
    RESPOND: Choice.RESPOND,
    SHOW: None,
}

_MOST_ARGUMENTS = 2_400
_MOST_ARGUMENT = 900
_MOST_MESSAGE = 1_200
_EVIDENCE = 3
_VALUE = re.compile(r"([A-Za-z0-9-]{1,64}):([0-9a-f]{64})")
_SURFACES = {"slack": "in Slack", "console": "in the console", "cli": "on the command line"}
_DONE = {
    Choice.APPROVE: "Approved",
    Choice.EDIT: "Approved with changes",
    Choice.REJECT: "Rejected",
    Choice.RESPOND: "Answered",
}
_MARKS = {
    ApprovalStatus.APPROVED: ":white_check_mark:",
    ApprovalStatus.EDITED: ":white_check_mark:",
    ApprovalStatus.REJECTED: ":no_entry_sign:",
    ApprovalStatus.RESPONDED: ":speech_balloon:",
    ApprovalStatus.EXPIRED: ":hourglass:",
    ApprovalStatus.CANCELLED: ":heavy_minus_sign:",
}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a button carries: which approval, and of which arguments. Nobody's word for anything."""

    approval_id: str
    args_sha256: str

    @staticmethod
    def of(one: Approval) -> Reference:
        return Reference(approval_id=one.approval_id, args_sha256=one.args_sha256)

    @staticmethod
    def read(value: str) -> Reference | None:
        """The reverse of ``str``; None for anything else."""
        found = _VALUE.fullmatch(value)
        return Reference(approval_id=found[1], args_sha256=found[2]) if found else None

    def __str__(self) -> str:
        return f"{self.approval_id}:{self.args_sha256}"


def card(one: Approval) -> Mapping[str, Any]:
    """The message of an approval: ``text`` and ``blocks``."""
    made = list(_waiting(one) if one.status is ApprovalStatus.PENDING else _over(one))
    return blocks.message(made, words=summary(one))


def summary(one: Approval) -> str:
    """The card in one line, for notifications and lists."""
    if one.status is not ApprovalStatus.PENDING:
        return f"{_asked(one)}: {_ended(one)}"
    critical = "Critical: " if one.terms.critical else ""
    return f"{critical}Approval needed: {_asked(one)}"


def buttons(
    one: Approval, choices: Collection[Choice] | None = None, *, is_cut: bool
) -> Block | None:
    """What one may do about it, as far as its terms (or ``choices``) have it open."""
    open_ = one.terms.choices if choices is None else choices
    value = str(Reference.of(one))
    made = []
    if Choice.APPROVE in open_:
        sure = _sure(one) if one.terms.critical else None
        words = "Raise" if one.kind is Kind.LIMIT else "Approve"
        made.append(
            blocks.button(words, action=APPROVE, value=value, style="primary", confirm=sure)
        )
    if Choice.EDIT in open_:
        words = "Raise to …" if one.kind is Kind.LIMIT else "Edit …"
        made.append(blocks.button(words, action=EDIT, value=value))
    if Choice.RESPOND in open_:
        made.append(blocks.button("Answer instead …", action=RESPOND, value=value))
    if Choice.REJECT in open_:
        words = "Leave it …" if one.kind is Kind.LIMIT else "Reject …"
        made.append(blocks.button(words, action=REJECT, value=value, style="danger"))
    if is_cut:
        made.append(blocks.button("Show all arguments", action=SHOW, value=value))
    return blocks.actions(made, block_id=f"approval:{one.approval_id}") if made else None


def is_cut(one: Approval) -> bool:
    """Whether the card shows less than all of the arguments."""
    return len(_full(one.final_args)) > len(_short(one.final_args))


def whole(one: Approval) -> list[str]:
    """All of the arguments, in pieces that a block takes."""
    full = _full(one.final_args)
    return [full[at : at + blocks.MOST_TEXT] for at in range(0, len(full), blocks.MOST_TEXT)]


def _waiting(one: Approval) -> Iterator[Block]:
    yield blocks.header(f"{'Critical: ' if one.terms.critical else ''}{_title(one)}")
    yield blocks.section(_wish(one))
    if one.final_args:
        yield blocks.preformatted(_short(one.final_args))
    if is_cut(one):
        yield blocks.context(":warning: Some arguments are too long for a card. Show all first.")
    if one.edited_args is not None:
        yield blocks.section("*Changed since it was asked*")
        yield _differences(one)
    yield blocks.section(fields=[*_facts(one)])
    if said := _beside(one):
        yield blocks.context(*said)
    if agreed := _agreed(one):
        yield blocks.context(*agreed)
    if found := buttons(one, is_cut=is_cut(one)):
        yield found
    if one.terms.critical:
        yield blocks.context(":warning: Critical: approving is asked about once more.")
    yield blocks.context(f"Approval `{one.approval_id}`")


def _over(one: Approval) -> Iterator[Block]:
    mark = _MARKS[one.status]
    yield blocks.section(f"{mark} {text.bold(_asked(one), 200)}\n{_verdict(one)}")
    said = one.message
    if said and one.status not in {ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED}:
        yield _quote(said)
    if one.edited_args is not None:
        yield _differences(one)
    elif one.args:
        yield blocks.preformatted(_short(one.args))
    small = [f"asked by {_who(one.requested_by)}"]
    if one.rule:
        small.append(f"rule: {text.escaped(one.rule, 300)}")
    yield blocks.context(" · ".join(small))
    earlier = [said for said in one.decisions if said is not _last(one)]
    if earlier:
        yield blocks.context(*(_decided(said) for said in earlier[-blocks.MOST_CONTEXT :]))
    yield blocks.context(f"Approval `{one.approval_id}`")


def _title(one: Approval) -> str:
    match one.kind:
        case Kind.LIMIT:
            return "A limit is reached: raise it?"
        case Kind.INTERRUPT if not one.tool:
            return "A question"
        case _:
            return f"Approval needed: {one.tool}"


def _asked(one: Approval) -> str:
    match one.kind:
        case Kind.LIMIT:
            return f"raise {' and '.join(one.args) or 'a limit'}"
        case Kind.INTERRUPT if not one.tool:
            return one.description or "a question"
        case _:
            return one.tool


def _wish(one: Approval) -> str:
    reason = one.reason or one.description
    because = f"\n{text.escaped(reason, 900)}" if reason else ""
    who = text.bold(one.agent, 100) or "The run"
    match one.kind:
        case Kind.LIMIT:
            return f"The run of {_who(one.requested_by)} has stopped at a limit.{because}"
        case Kind.INTERRUPT if not one.tool:
            return f"{who} asks {_who(one.requested_by)}:{because}"
        case _:
            tool = text.code(one.tool, 200)
            return f"{who} wants to use {tool} for {_who(one.requested_by)}.{because}"


def _facts(one: Approval) -> Iterator[str]:
    if one.rule:
        yield f"*Rule*\n{text.escaped(one.rule, 600)}"
    yield f"*Asked by*\n{_who(one.requested_by)}"
    wait = text.left((one.expires_at - one.requested_at).total_seconds())
    yield f"*Open until*\n{text.when(one.expires_at)}, {wait} after it was asked"
    yield f"*If nobody decides*\n{_expiry(one)}"
    yield f"*Who decides*\n{text.escaped(' or '.join(sorted(one.terms.roles)), 200)}{_self(one)}"
    if spent := _spent(one.context.get("usage")):
        yield f"*Cost so far*\n{spent}"


def _self(one: Approval) -> str:
    return "" if one.terms.self_approval else ", not who asked"


def _expiry(one: Approval) -> str:
    if one.terms.on_expiry is OnExpiry.FAIL:
        return "the run ends as failed"
    if one.kind is Kind.LIMIT:
        return "the answer stays as it is"
    return "it does not run, and the model is told"


def _spent(usage: Any) -> str:
    if not isinstance(usage, Mapping):
        return ""
    try:
        tokens = int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0)
        cost, calls = float(usage.get("cost") or 0), int(usage.get("model_calls") or 0)
    except (TypeError, ValueError):
        return ""
    return f"${cost:,.4f} · {calls:,} model calls · {tokens:,} tokens"


def _beside(one: Approval) -> list[str]:
    found = []
    question = one.context.get("question")
    if isinstance(question, str) and question.strip():
        found.append(f"*Question:* {text.escaped(' '.join(question.split()), 500)}")
    evidence = one.context.get("evidence")
    titles = [
        str(item.get("title") or item.get("source") or "")
        for item in (evidence if isinstance(evidence, list | tuple) else ())[:_EVIDENCE]
        if isinstance(item, Mapping)
    ]
    if named := [text.escaped(title, 150) for title in titles if title]:
        found.append(f"*From:* {'; '.join(named)}")
    return found


def _agreed(one: Approval) -> list[str]:
    if one.terms.quorum < 2:
        return []
    head = f"*{one.consents} of {one.terms.quorum}* agree so far; the same person counts once."
    return [head, *(_decided(said) for said in one.decisions[-(blocks.MOST_CONTEXT - 1) :])]


def _verdict(one: Approval) -> str:
    last = _last(one)
    if last is None or one.status in {ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED}:
        at = f" · {text.when(one.decided_at)}" if one.decided_at else ""
        return f"{text.escaped(_ended(one), 500)}{at}"
    return f"{_decided(last)}"


def _ended(one: Approval) -> str:
    match one.status:
        case ApprovalStatus.EXPIRED:
            return f"Expired: nobody decided in time, so {_expiry(one)}"
        case ApprovalStatus.CANCELLED:
            why = one.ended_because or "its run is over"
            return f"Not needed any more: {why}"
        case _:
            last = _last(one)
            return f"{_DONE[last.choice]} by {last.decider}" if last else one.status.value


def _decided(said: Decided) -> str:
    where = _SURFACES.get(said.via, f"by {said.via}" if said.via else "")
    place = f" {text.escaped(where, 60)}" if where else ""
    return f"{_DONE[said.choice]} by {_who(said.decider)} · {text.when(said.at)}{place}"


def _last(one: Approval) -> Decided | None:
    return one.decisions[-1] if one.decisions else None


def _who(name: str) -> str:
    return text.bold(name, 100) or "somebody"


def _quote(words: str) -> Block:
    shown = blocks.piece(text.visible(words), most=_MOST_MESSAGE)
    return blocks.rich({"type": "rich_text_quote", "elements": [shown]})


def _differences(one: Approval) -> Block:
    """One line an argument; what was changed with what stood there before, struck out."""
    before, now = dict(text.arguments(one.args)), dict(text.arguments(one.final_args))
    pieces: list[Block] = []
    room = _MOST_ARGUMENTS
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name), now.get(name)
        shown = [text.clipped(one, 400) for one in (name, old or "", new or "")]
        room -= sum(map(len, shown))
        if room < 0:
            pieces.append(blocks.piece("… and more", "italic"))
            break
        pieces.append(blocks.piece(f"{shown[0]}: ", "bold"))
        if old == new:
            pieces.append(blocks.piece(shown[1]))
        else:
            if old is not None:
                pieces += [blocks.piece(shown[1], "strike"), blocks.piece(" ")]
            added = blocks.piece(shown[2], "bold") if new is not None else None
            pieces.append(added or blocks.piece("left out", "italic"))
        pieces.append(blocks.piece("\n"))
    return blocks.rich(blocks.line(*(pieces or [blocks.piece("no arguments", "italic")])))


def _full(args: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in text.arguments(args))


def _short(args: Mapping[str, Any]) -> str:
    lines = [
        f"{text.clipped(name, 200)}: {text.clipped(value, _MOST_ARGUMENT)}"
        for name, value in text.arguments(args)
    ]
    return text.clipped("\n".join(lines), _MOST_ARGUMENTS)


def _sure(one: Approval) -> Block:
    return blocks.confirm(
        "This is critical",
        f"Let {one.agent or 'the run'} use {one.tool} with these arguments? It is done at once, "
        "in your name.",
        yes="Yes, approve",
        no="Look again",
        style="danger",
    )
