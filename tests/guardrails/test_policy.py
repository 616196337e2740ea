"""The policy: the first match decides, and no match denies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrails import policy

ALLOW, DENY = policy.Decision.ALLOW, policy.Decision.DENY


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
