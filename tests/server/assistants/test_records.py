"""Assistants below the wire: versions are numbered without gaps, whoever makes them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.assistants.records import (
    AssistantConflictError,
    AssistantNotFoundError,
    Assistants,
    Definition,
    GraphNotFoundError,
    built_in_id,
)


class Names:
    """A registry of which only the names are asked."""

    names = ("team", "asking", "nested")

    def open(self, name: str, config: Any = None, **_: Any) -> Any:
        raise AssertionError(f"nobody needs the graph {name}")


@pytest.fixture
def assistants(redis: Redis, keys: Keys) -> Assistants:
    return Assistants(redis, keys, graphs=Names(), agents=("researcher",))


async def test_a_graph_and_an_agent_have_an_assistant_under_their_name(
    assistants: Assistants,
) -> None:
    team = await assistants.resolve("team")
    assert (team.graph_id, team.version, team.assistant_id) == ("team", 1, built_in_id("team"))
    assert await assistants.resolve(team.assistant_id.upper()) == team
    researcher = await assistants.resolve("researcher")
    assert researcher.graph_id == "team"
    assert researcher.config == {"configurable": {"agent": "researcher"}}
    assert researcher.assistant_id != team.assistant_id
    with pytest.raises(AssistantNotFoundError, match="team, asking"):
        await assistants.resolve("nobody")


async def test_a_built_in_assistant_is_the_same_each_time_and_for_each_process(
    assistants: Assistants, redis: Redis, keys: Keys
) -> None:
    other = Assistants(redis, keys, graphs=Names())
    assert await assistants.resolve("asking") == await other.resolve("asking")


async def test_versions_made_at_the_same_time_are_all_kept(assistants: Assistants) -> None:
    made = await assistants.create(Definition(graph_id="team", name="mine"))
    changes = [{"metadata": {str(i): i}} for i in range(5)]
    await asyncio.gather(*(assistants.update(made.assistant_id, c) for c in changes))
    versions = await assistants.versions(made.assistant_id)
    assert [one.version for one in versions] == [6, 5, 4, 3, 2, 1]
    assert versions[0].metadata == {str(i): i for i in range(5)}
    assert len(versions[1].metadata) == 4


async def test_a_version_is_put_in_force_and_the_next_one_gets_a_new_number(
    assistants: Assistants,
) -> None:
    made = await assistants.create(Definition(graph_id="team", name="mine"))
    await assistants.update(made.assistant_id, {"name": "second"})
    first = await assistants.choose(made.assistant_id, 1)
    assert (first.name, first.version, first.last) == ("mine", 1, 2)
    third = await assistants.update(made.assistant_id, {"description": "third"})
    assert (third.name, third.version, third.description) == ("mine", 3, "third")
    with pytest.raises(AssistantNotFoundError, match="no version 7"):
        await assistants.choose(made.assistant_id, 7)


async def test_a_built_in_assistant_takes_versions_and_stays(assistants: Assistants) -> None:
    born = await assistants.resolve("researcher")
    assert [one.version for one in await assistants.versions("researcher")] == [1]
    assert await assistants.choose("researcher", 1) == born
    changed = await assistants.update("researcher", {"config": {"tags": ["x"]}})
    assert (changed.version, changed.created_at) == (2, born.created_at)
    assert (await assistants.choose("researcher", 1)).config == born.config
    with pytest.raises(AssistantConflictError, match="built in"):
        await assistants.delete("researcher")
    ids = [one.assistant_id for one in await assistants.all()]
    assert len(ids) == len(set(ids)) == 4


async def test_an_id_is_taken_once_and_reused_when_asked(assistants: Assistants) -> None:
    definition = Definition(graph_id="team", name="mine")
    made = await assistants.create(definition)
    with pytest.raises(AssistantConflictError):
        await assistants.create(definition, assistant_id=made.assistant_id)
    other = Definition(graph_id="asking", name="other")
    again = await assistants.create(other, assistant_id=made.assistant_id, reuse=True)
    assert again == made
    builtin = await assistants.create(other, assistant_id=built_in_id("team"), reuse=True)
    assert builtin.name == "team"
    with pytest.raises(GraphNotFoundError, match="no graph 'none'"):
        await assistants.create(Definition(graph_id="none", name="x"))
    with pytest.raises(GraphNotFoundError):
        await assistants.update(made.assistant_id, {"graph_id": "none"})


async def test_what_is_one_tenants_is_not_anothers(assistants: Assistants) -> None:
    made = await assistants.create(Definition(graph_id="team", name="mine"), tenant="one")
    with pytest.raises(AssistantNotFoundError):
        await assistants.get(made.assistant_id, tenant="two")
    await assistants.delete(made.assistant_id, tenant="one")
    with pytest.raises(AssistantNotFoundError):
        await assistants.get(made.assistant_id, tenant="one")
