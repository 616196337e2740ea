"""The policy: the first match decides, and no match denies."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardrails import conditions, policy

ALLOW, ASK, DENY = policy.Decision


def test_without_a_rule_every_tool_is_denied() -> None:
    verdict = policy.decide([], policy.Call(agent="researcher", tool="search_documents"))
    assert not verdict.allowed
    assert "no rule of the policy allows search_documents" in verdict.reason


def test_the_first_match_wins_over_a_later_one() -> None:
    rules = [
        policy.Rule(tool="run_*", agent="coder", decision=ALLOW),
        policy.Rule(tool="run_python", decision=DENY, reason="no code here"),
        policy.Rule(tool="*", decision=ALLOW),
    ]
    assert policy.decide(rules, policy.Call(agent="coder", tool="run_python")).rule == 0
    refused = policy.decide(rules, policy.Call(agent="researcher", tool="run_python"))
    assert (refused.allowed, refused.reason) == (False, "no code here")
    assert policy.decide(rules, policy.Call(agent="researcher", tool="fetch")).allowed


def test_globs_mind_the_case() -> None:
    rules = [policy.Rule(tool="Run_*", decision=ALLOW)]
    assert not policy.decide(rules, policy.Call(agent="coder", tool="run_python")).allowed


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_rule_for_another_tool_never_allows(agent: str, tool: str) -> None:
    rules = [policy.Rule(tool=f"other-{len(tool)}", decision=ALLOW)]
    if tool != rules[0].tool:
        assert not policy.decide(rules, policy.Call(agent=agent, tool=tool)).allowed


def rule(decision: policy.Decision, *when: str, **more: Any) -> policy.Rule:
    tool = more.pop("tool", "pay")
    parsed = tuple(conditions.parse(one) for one in when)
    return policy.Rule(tool=tool, decision=decision, when=parsed, **more)


def call(tool: str = "pay", **more: Any) -> policy.Call:
    return policy.Call(tool=tool, agent=more.pop("agent", "coder"), **more)


def test_an_argument_that_is_missing_or_wrong_never_helps_past_a_rule() -> None:
    rules = [rule(DENY, "amount > 1000"), rule(ASK, "amount > 100"), rule(ALLOW)]
    decisions = [
        policy.decide(rules, call(args=args)).decision
        for args in ({"amount": 5000}, {"amount": 500}, {"amount": 5}, {"amount": "5"}, {})
    ]
    assert decisions == [DENY, ASK, ALLOW, DENY, DENY]
    careful = [rule(ALLOW, "amount <= 100")]
    assert not policy.decide(careful, call(args={"amount": "5"})).allowed
    assert not policy.decide(careful, call(args={})).allowed


def test_a_rule_that_is_kept_away_by_something_sure_does_not_match_in_doubt() -> None:
    rules = [rule(DENY, "amount > 10", "currency == EUR"), rule(ALLOW)]
    assert policy.decide(rules, call(args={"currency": "USD"})).allowed
    other_tool = [rule(DENY, "amount > 10", tool="refund"), rule(ALLOW)]
    assert policy.decide(other_tool, call(args={})).allowed


def test_a_rule_matches_on_tenant_roles_and_schema() -> None:
    schema = {"properties": {"to": {"type": "string", "pattern": "^DE"}}}
    rules = [
        rule(ALLOW, tenant="acme-*", roles=("operator", "admin"), arguments=schema),
        rule(ASK, tenant="acme-*", arguments=schema),
    ]

    def decided(tenant: str, roles: set[str], args: dict[str, Any]) -> policy.Decision:
        asked = call(tenant=tenant, roles=frozenset(roles), args=args)
        return policy.decide(rules, asked).decision

    assert decided("acme-1", {"user", "operator"}, {"to": "DE1"}) is ALLOW
    assert decided("acme-1", {"user"}, {"to": "DE1"}) is ASK
    assert decided("acme-1", {"operator"}, {}) is ASK
    assert decided("acme-1", {"operator"}, {"to": "FR1"}) is DENY
    assert decided("other", {"operator"}, {"to": "DE1"}) is DENY


def test_a_verdict_names_its_rule_its_terms_and_what_was_in_doubt() -> None:
    terms = policy.Terms(quorum=2)
    rules = [rule(ASK, "amount > 100", reason="large ones", terms=terms, agent="cod*")]
    verdict = policy.decide(rules, call(args={"amount": "x"}))
    assert verdict.name == "rule 1: ask for pay by cod* when amount > 100"
    assert (verdict.reason, verdict.rule, verdict.terms) == ("large ones", 0, terms)
    assert verdict.doubts == ('amount is "x", so `amount > 100` cannot be told',)


def test_it_is_explained_why_each_earlier_rule_did_not_match() -> None:
    rules = [
        rule(ALLOW, tool="fetch"),
        rule(ALLOW, agent="researcher"),
        rule(ALLOW, "amount <= 100"),
        rule(ALLOW, roles=("admin",)),
        rule(ALLOW, arguments={"properties": {"x": {"const": 1}}}),
        rule(DENY, reason="no"),
    ]
    found = policy.explain(rules, call(args={"amount": 200}, roles=frozenset({"user"})))
    assert [miss.why for miss in found.misses] == [
        "the tool is pay, not fetch",
        "the agent is coder, not researcher",
        "amount is 200, so `amount <= 100` does not hold",
        "the requester's roles are user, not admin",
        "that the arguments fit the rule's schema cannot be told",
    ]
    assert (found.verdict.rule, found.verdict.reason) == (5, "no")


FIELDS = ("a", "b")
WHEN = st.sampled_from(
    [
        "a > 1",
        "a <= 1",
        "a == x",
        "b != 2",
        "b one of 1, 2",
        "a under /x",
        "host in a.com",
        "a not matches x*",
    ]
)
RULES = st.lists(
    st.builds(
        lambda decision, when: rule(decision, *when),
        st.sampled_from(policy.Decision),
        st.lists(WHEN, max_size=2),
    ),
    max_size=5,
)
GIVEN = st.dictionaries(
    st.sampled_from([*FIELDS, "host"]), st.sampled_from([0, 1, 2, "x", "/x/y", "a.com"]), max_size=3
)


@given(RULES, GIVEN, st.sampled_from([*FIELDS, "host"]), st.sampled_from([None, [], {}, [[]]]))
def test_spoiling_an_argument_never_gets_a_call_allowed(
    rules: list[policy.Rule], args: dict[str, Any], name: str, spoiled: Any
) -> None:
    """What is allowed with an argument left out or spoiled is allowed with it, too."""
    without = {key: value for key, value in args.items() if key != name}
    broken = {**args, name: spoiled}
    for worse in (without, broken):
        if policy.decide(rules, call(args=worse)).allowed:
            assert policy.decide(rules, call(args=args)).allowed


@given(RULES, GIVEN)
def test_the_verdict_and_its_explanation_agree_and_every_earlier_rule_is_explained(
    rules: list[policy.Rule], args: dict[str, Any]
) -> None:
    found = policy.explain(rules, call(args=args))
    assert policy.decide(rules, call(args=args)) == found.verdict
    upto = len(rules) if found.verdict.rule is None else found.verdict.rule
    assert [miss.rule for miss in found.misses] == list(range(upto))
    assert all(miss.why for miss in found.misses)


@given(RULES, RULES, GIVEN)
def test_a_rule_that_is_shadowed_never_decides(
    some: list[policy.Rule], more: list[policy.Rule], args: dict[str, Any]
) -> None:
    rules = [*some, *more]
    decided = policy.decide(rules, call(args=args)).rule
    if decided is not None:
        assert not any(policy.shadows(rules[at], rules[decided]) for at in range(decided))
