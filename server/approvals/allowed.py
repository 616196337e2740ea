"""What one person may say about one approval, and what the scripts are told of it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardrails.arguments import ArgumentsError
from guardrails.policy import Call, Choice, Decision, PolicyVerdict, Rule, Terms, decide
from server.approvals import editing, stored
from server.approvals.record import Approval, InvalidDecisionError, Kind, NotAllowedError
from server.approvals.store import Sight
from server.auth import Caller
from server.sections import CallerRole

Judge = Callable[[Approval, Mapping[str, Any]], PolicyVerdict]
"""What the policy says of an approval's call with other arguments."""

MESSAGE_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True)
class Said:
    """A decision as a caller gives it. ``args_sha256`` is of the arguments that he looked at."""

    choice: Choice
    args: Mapping[str, Any] | None = None
    tool: str | None = None
    message: str | None = None
    args_sha256: str | None = None
    raw: Any = None
    has_raw: bool = False


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A decision that fits the approval. ``sha`` is of the arguments that it speaks of.

    ``terms`` are those of the rule that asks about edited arguments, if one does.
    """

    said: Said
    sha: str
    args: Mapping[str, Any] | None = None
    terms: Terms | None = None

    @property
    def request(self) -> str:
        """The same for the same decision, whoever sends it again."""
        edit = self.sha if self.said.choice is Choice.EDIT else ""
        word = f"{self.said.choice.value}\n{edit}"
        return hashlib.sha256(word.encode()).hexdigest()[:32]


def sight(caller: Caller) -> Sight | None:
    """What a caller may look at; None: all of his tenant."""
    if caller.may(CallerRole.OPERATOR):
        return None
    return Sight(name=caller.name, roles=frozenset(role.value for role in caller.roles))


def check_roles(caller: Caller, terms: Terms, *, approval_id: str) -> None:
    """Raises NotAllowedError where the caller's roles do not let him decide."""
    if not caller.may(CallerRole.ADMIN) and not terms.roles & set(caller.roles):
        wanted = " or ".join(sorted(terms.roles))
        raise NotAllowedError(
            f"approval {approval_id} is decided by {wanted}, which the key {caller.name!r} is not; "
            "give it the role under [[keys]], or use another key"
        )


def checked(one: Approval, said: Said, *, caller: Caller, judge: Judge | None) -> Checked:
    """The decision as it would be stored. Raises InvalidDecisionError, NotAllowedError."""
    if said.choice not in one.terms.choices:
        open_ = ", ".join(choice.value for choice in Choice if choice in one.terms.choices)
        raise InvalidDecisionError(
            f"decision: {said.choice.value} is not open for this approval; choose {open_}",
            field="decision",
        )
    if said.tool is not None and said.tool != one.tool:
        raise InvalidDecisionError(
            f"tool: an edit changes arguments only; the call is of {one.tool}", field="tool"
        )
    if said.message is not None and len(said.message) > MESSAGE_CHARACTERS:
        raise InvalidDecisionError(
            f"message: {MESSAGE_CHARACTERS} characters at most", field="message"
        )
    if said.choice is Choice.RESPOND and not (said.has_raw or (said.message or "").strip()):
        raise InvalidDecisionError(
            "message: a response needs one: what the model gets in place of the tool's result",
            field="message",
        )
    if said.choice is not Choice.EDIT:
        if said.args is not None:
            raise InvalidDecisionError(
                "args: only an edit has arguments; leave them out, or choose edit", field="args"
            )
        return Checked(said=said, sha=one.args_sha256)
    if said.args is None:
        raise InvalidDecisionError("args: an edit needs the arguments, all of them", field="args")
    return _edit(one, said, caller=caller, judge=judge)


def _edit(one: Approval, said: Said, *, caller: Caller, judge: Judge | None) -> Checked:
    assert said.args is not None
    try:
        args = editing.edited(said.args, schema=one.schema, before=one.final_args)
        sha = stored.sha_of(one, args)
    except editing.EditError as error:
        raise InvalidDecisionError(str(error), field=error.field) from None
    except ArgumentsError as error:
        raise InvalidDecisionError(f"args: {error}", field="args") from None
    if judge is None or one.kind is not Kind.TOOL:
        return Checked(said=said, sha=sha, args=args)
    verdict = judge(one, args)
    if verdict.decision is Decision.DENY:
        raise InvalidDecisionError(
            f"args: the policy denies {one.tool} with these ({verdict.reason})", field="args"
        )
    terms = verdict.terms if verdict.decision is Decision.ASK else None
    if terms is not None:
        # Other arguments may need more people, or others, than those that were asked for.
        check_roles(caller, terms, approval_id=one.approval_id)
        if not terms.self_approval and caller.name == one.requested_by:
            raise NotAllowedError(
                f"{caller.name!r} asked for this, and {one.tool} with these arguments has to be "
                "decided by somebody else"
            )
    return Checked(said=said, sha=sha, args=args, terms=terms)


def judging(rules: Sequence[Rule]) -> Judge:
    """The policy, as edits are judged by it."""

    def judge(one: Approval, args: Mapping[str, Any]) -> PolicyVerdict:
        call = Call(
            tool=one.tool,
            args=args,
            agent=one.agent,
            tenant=one.tenant,
            roles=frozenset(one.requester_roles),
        )
        return decide(rules, call)

    return judge
