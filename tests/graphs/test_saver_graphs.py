"""The checkpoint saver under graphs: the fence, subgraphs, branches, delta channels, crashes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.fence import FENCE, IDLE, FencedError, stamp
from graphs.keys import Keys, thread_name
from graphs.retention import KeepLast
from graphs.saver import RedisSaver
from tests.doubles.lost_replies import lost_replies
from tests.doubles.redis_kinds import Server

THREAD = thread_name("default", "t")


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    """Every kind of server that we promise to run on."""
    return redis_of_kind(redis_kind).url


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys)


class State(TypedDict):
    steps: Annotated[list[str], operator.add]


def config(fence: str = "", **more: Any) -> Any:
    fenced = {FENCE: fence} if fence else {}
    return {"configurable": {"thread_id": THREAD, **fenced, **more}, "metadata": {"run_id": "r"}}


def nested(saver: RedisSaver, before_ask: Callable[[], Any] | None = None) -> Any:
    """A graph whose subgraph asks a person."""

    async def ask(state: State) -> dict[str, Any]:
        if before_ask is not None:
            await before_ask()
        return {"steps": [f"told {interrupt('may I?')}"]}

    inner = StateGraph(State)
    inner.add_node("look", lambda state: {"steps": ["looked"]})
    inner.add_node("ask", ask)
    inner.add_edge(START, "look")
    inner.add_edge("look", "ask")
    outer = StateGraph(State)
    outer.add_node("begin", lambda state: {"steps": ["begun"]})
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "begin")
    outer.add_edge("begin", "inner")
    outer.add_edge("inner", END)
    return outer.compile(checkpointer=saver)


async def hold(redis: Redis, keys: Keys, holder: str | None) -> None:
    if holder is None:
        await redis.delete(keys.fence(THREAD))
    else:
        await redis.set(keys.fence(THREAD), holder)


async def test_the_holder_of_a_thread_writes_also_from_subgraphs(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    await hold(redis, keys, stamp("r", 1))
    await nested(saver).ainvoke({"steps": []}, config(stamp("r", 1)))
    await hold(redis, keys, stamp("r", 2))
    state = await nested(saver).ainvoke(Command(resume="yes"), config(stamp("r", 2)))
    assert state["steps"][-1] == "told yes"
    spaces = {name for name, _ in await saver._checkpoints(THREAD)}
    assert len(spaces) == 2


async def test_a_run_that_lost_its_claim_on_the_way_writes_no_step_more(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    stored: list[Any] = []

    async def lose() -> None:
        await hold(redis, keys, stamp("r", 2))
        stored.append(await redis.hgetall(keys.checkpoints(THREAD) + "data"))

    await hold(redis, keys, stamp("r", 1))
    with pytest.raises(FencedError):
        await nested(saver, lose).ainvoke({"steps": []}, config(stamp("r", 1)))
    assert await redis.hgetall(keys.checkpoints(THREAD) + "data") == stored[0]


async def test_a_person_changes_a_thread_only_while_no_run_holds_it(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    app = nested(saver)
    await app.ainvoke({"steps": []}, config())
    await app.aupdate_state(config(IDLE), {"steps": ["by hand"]}, as_node="begin")
    await hold(redis, keys, stamp("r", 1))
    with pytest.raises(FencedError):
        await app.aupdate_state(config(IDLE), {"steps": ["too late"]}, as_node="begin")
    with pytest.raises(FencedError):
        await saver.retain(THREAD, KeepLast(count=1), fence=IDLE)


async def test_the_stamp_is_seen_nowhere(saver: RedisSaver, redis: Redis, keys: Keys) -> None:
    fence = stamp("secret-run", 7)
    await hold(redis, keys, fence)
    app = nested(saver)
    modes = ["values", "updates", "checkpoints", "tasks", "debug"]
    seen: list[Any] = [
        chunk
        async for chunk in app.astream(
            {"steps": []}, config(fence), stream_mode=modes, subgraphs=True
        )
    ]
    seen += [found async for found in saver.alist(config(fence))]
    seen.append(await app.aget_state(config(fence), subgraphs=True))
    seen += [state async for state in app.aget_state_history(config(fence))]
    assert len(seen) > 10
    assert "secret-run" not in repr(seen)
    assert "secret-run" not in repr(await redis.hgetall(keys.checkpoints(THREAD) + "data"))


async def test_no_step_is_missing_and_none_is_there_twice_when_replies_get_lost(
    saver: RedisSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lost_replies(monkeypatch) as lost:
        await nested(saver).ainvoke({"steps": []}, config())
        state = await nested(saver).ainvoke(Command(resume="yes"), config())
        await saver.acopy_thread(THREAD, "copy")
        await saver.aprune(["copy"])
    assert len(lost) > 10
    assert state["steps"] == ["begun", "begun", "looked", "told yes"]
    chain = [found async for found in saver.alist(config(checkpoint_ns=""))]
    assert [found.metadata["step"] for found in chain] == [2, 1, 0, -1]
    ids = [found.config["configurable"]["checkpoint_id"] for found in chain]
    parents = [f.parent_config["configurable"]["checkpoint_id"] for f in chain if f.parent_config]
    assert parents == ids[1:]


async def test_a_resume_that_is_rolled_back_leaves_the_question_open(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    app = nested(saver)
    await app.ainvoke({"steps": []}, config())
    before = await app.aget_state(config(), subgraphs=True)
    answering: Any = {**config(), "metadata": {"run_id": "second"}}
    await app.ainvoke(Command(resume="rashly"), answering)
    assert (await app.aget_state(config())).next == ()
    await saver.adelete_for_runs(["second"])
    assert await app.aget_state(config(), subgraphs=True) == before
    assert await redis.exists(keys.checkpoint_run("second")) == 0
    state = await app.ainvoke(Command(resume="after all"), config())
    assert state["steps"][-1] == "told after all"


async def test_a_long_run_that_is_rolled_back_leaves_what_was_before_it(
    redis: Redis, keys: Keys
) -> None:
    saver = RedisSaver(redis, keys, retention=KeepLast(count=3))

    def going(state: State) -> str:
        return "walk" if len(state["steps"]) % 30 else END

    graph = StateGraph(State)
    graph.add_node("walk", lambda state: {"steps": ["walked"]})
    graph.add_edge(START, "walk")
    graph.add_conditional_edges("walk", going, ["walk", END])
    app = graph.compile(checkpointer=saver)
    for run, number in (("first", 30), ("second", 60)):
        given: Any = {**config(), "metadata": {"run_id": run}, "recursion_limit": 100}
        assert len((await app.ainvoke({"steps": []}, given))["steps"]) == number
    assert len([found async for found in saver.alist(config())]) < 20
    await saver.adelete_for_runs(["second"])
    state = await app.aget_state(config())
    assert (len(state.values["steps"]), state.next) == (30, ())


async def test_many_tasks_at_once_are_all_kept_and_not_run_again(saver: RedisSaver) -> None:
    ran: list[int] = []

    def work(given: Any) -> dict[str, Any]:
        ran.append(given["number"])
        if given["number"] == 3:
            return {"steps": [f"3 {interrupt('three?')}"]}
        return {"steps": [str(given["number"])]}

    builder: Any = StateGraph(State)
    builder.add_node("work", work)
    builder.add_conditional_edges(
        START, lambda state: [Send("work", {"number": number}) for number in range(12)]
    )
    app = builder.compile(checkpointer=saver)
    await app.ainvoke({"steps": []}, config())
    state = await app.ainvoke(Command(resume="yes"), config())
    assert state["steps"] == ["0", "1", "2", "3 yes", *(str(n) for n in range(4, 12))]
    assert sorted(ran) == sorted([*range(12), 3])


async def test_a_thread_goes_on_from_an_earlier_step(saver: RedisSaver) -> None:
    app = nested(saver)
    await app.ainvoke({"steps": ["first"]}, config())
    past = [state async for state in app.aget_state_history(config())]
    early = next(state for state in past if state.next == ("begin",))
    forked = await app.aupdate_state(early.config, {"steps": ["changed"]})
    await app.ainvoke(None, forked)
    state = await app.ainvoke(Command(resume="no"), config())
    assert state["steps"] == [*["first", "changed", "begun"] * 2, "looked", "told no"]


def _together(state: list[str], writes: list[Any]) -> list[str]:
    return state + [word for write in writes for word in write]


class Delta(TypedDict):
    words: Annotated[list[str], DeltaChannel(_together, snapshot_frequency=4)]
    round: int


async def test_delta_channels_survive_pruning_to_the_last_checkpoints(
    redis: Redis, keys: Keys
) -> None:
    def say(state: Delta) -> dict[str, Any]:
        return {"words": [str(state["round"])], "round": state["round"] + 1}

    builder = StateGraph(Delta)
    builder.add_node("say", say)
    builder.add_edge(START, "say")
    builder.add_conditional_edges("say", lambda s: "say" if s["round"] < 10 else END)
    saver = RedisSaver(redis, keys)
    app = builder.compile(checkpointer=saver)
    await app.ainvoke({"words": ["start"], "round": 0}, config())
    for count in (5, 3, 1):
        await saver.retain(THREAD, KeepLast(count=count))
        state = (await app.aget_state(config())).values
        assert state["words"] == ["start", *(str(n) for n in range(10))]
    assert len(await saver._checkpoints(THREAD)) < 11


async def test_nothing_that_a_paused_thread_needs_expires(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    log = EventLog(redis, keys, retention_seconds=1)
    await nested(saver).ainvoke({"steps": []}, config())
    await log.pause("t", "r", {"type": "run.interrupted"})
    await log.append("t", "next", [{"type": "said"}])
    await log.close("t", "next", {"type": "run.finished"})
    names = [name async for name in redis.scan_iter(keys.prefix + "*")]
    assert len(names) >= 5
    assert [await redis.ttl(name) for name in names] == [-1] * len(names)
