"""Which rules held when: the policy in the audit log."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from graphs.keys import Keys
from guardrails.policy import Decision, Rule, Terms
from server.audit.log import Audit
from server.audit.policy_notes import note

RULES = [Rule(tool="refund", decision=Decision.ASK, terms=Terms(roles=frozenset({"b", "a"})))]


async def test_a_policy_is_noted_when_it_is_another_one(redis: Redis, keys: Keys) -> None:
    audit = Audit(redis, keys)
    await redis.sadd(keys.tenants, "acme")
    assert sum(await asyncio.gather(*(note(redis, keys, RULES) for _ in range(5)))) == 2
    stricter = [Rule(tool="refund", decision=Decision.DENY)]
    assert await note(redis, keys, stricter) == 2
    assert await note(redis, keys, stricter) == 0
    for tenant in ("default", "acme"):
        entries = [one async for one in audit.entries(tenant)]
        assert [one.fields["kind"] for one in entries] == ["policy_changed"] * 2
        assert [one.fields["detail"]["rules"][0]["rule"] for one in entries] == [
            "ask for refund",
            "deny refund",
        ]
        assert (await audit.verify(tenant)).whole


async def test_a_tenant_that_came_later_is_told_too(redis: Redis, keys: Keys) -> None:
    assert await note(redis, keys, RULES) == 1
    await redis.sadd(keys.tenants, "acme")
    assert await note(redis, keys, RULES) == 1


async def test_a_log_tells_and_follows_no_rule_of_another_tenant_alone(
    redis: Redis, keys: Keys
) -> None:
    audit = Audit(redis, keys)
    await redis.sadd(keys.tenants, "acme", "globex")
    of_acme = Rule(tool="wire", decision=Decision.ALLOW, tenant="ac*", reason="the merger")
    assert await note(redis, keys, RULES) == 3
    assert await note(redis, keys, [of_acme, *RULES]) == 1
    noted = {
        tenant: [
            [rule["rule"] for rule in one.fields["detail"]["rules"]]
            async for one in audit.entries(tenant)
        ]
        for tenant in ("acme", "globex")
    }
    assert noted == {
        "acme": [["ask for refund"], [of_acme.in_words, "ask for refund"]],
        "globex": [["ask for refund"]],
    }
