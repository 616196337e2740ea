"""The graph under test: its input says, letter by letter, what its steps are.

``s`` a step with effects, ``f`` three branches side by side, ``p`` a pause for a person.
"""

from __future__ import annotations

import asyncio
import operator
import os
import signal
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from tests.faults.world import Done, Hold, Phase, Place, World

BRANCHES = 3
UNBLOCK = signal.SIGUSR1
_BLOCK_SECONDS = 30.0


class Work(TypedDict, total=False):
    """``name`` is the run's in the world; ``at`` how many letters are done; ``done`` all steps.

    ``pace`` is how many seconds a step takes.
    """

    name: str
    program: str
    at: int
    pace: float
    branch: int
    done: Annotated[list[str], operator.add]
    answers: Annotated[list[Any], operator.add]


def steps_of(program: str) -> list[str]:
    """What ``done`` holds after the program, in order."""
    done: list[str] = []
    for at, letter in enumerate(program):
        match letter:
            case "s":
                done.append(f"{at}")
            case "f":
                done += [f"{at}.{branch}" for branch in range(BRANCHES)]
            case "p":
                done.append(f"{at}p")
    return done


def build(world: Redis) -> StateGraph[Any, Any, Any, Any]:
    """The graph, not compiled. ``world`` is a client of the world's Redis."""
    acting = _Steps(World(world))
    graph = StateGraph(Work)
    graph.add_node("begin", acting.begin)
    graph.add_node("step", acting.step)
    graph.add_node("branch", acting.branch)
    graph.add_node("join", acting.join)
    graph.add_node("pause", acting.pause)
    graph.add_edge(START, "begin")
    for name in ("begin", "step", "join", "pause"):
        graph.add_conditional_edges(name, _next, ["step", "branch", "pause", END])
    graph.add_edge("branch", "join")
    return graph


def _next(state: Work) -> Any:
    at, program = state["at"], state["program"]
    if at >= len(program):
        return END
    match program[at]:
        case "s":
            return "step"
        case "p":
            return "pause"
        case _:
            return [Send("branch", {**state, "branch": branch}) for branch in range(BRANCHES)]


class HeldSaver(RedisSaver):
    """The saver, which can be held before it writes a checkpoint."""

    def __init__(self, redis: Redis, keys: Keys, *, world: Redis) -> None:
        super().__init__(redis, keys)
        self._world = World(world)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        done = checkpoint["channel_values"].get("done") or [":"]
        name, _, step = done[-1].partition(":")
        await hold(self._world, Place(run=name, step=step, phase=Phase.STORED))
        return await super().aput(config, checkpoint, metadata, new_versions)


async def hold(world: World, place: Place) -> None:
    """Stop here, if the test wants it."""
    how = await world.held(place, pid=os.getpid())
    if how is Hold.DIE:
        os.kill(os.getpid(), signal.SIGKILL)
    if how is Hold.BLOCK:
        # On purpose: the fault is a loop that turns no more, until somebody else has the run.
        signal.pthread_sigmask(signal.SIG_BLOCK, {UNBLOCK})
        signal.sigtimedwait({UNBLOCK}, _BLOCK_SECONDS)
    if how is Hold.WAIT:
        await world.let_go(place)


class _Steps:
    def __init__(self, world: World) -> None:
        self._world = world

    async def begin(self, state: Work) -> dict[str, Any]:
        """A run on a thread that has a history starts its own program."""
        del state
        return {"at": 0}

    async def step(self, state: Work) -> dict[str, Any]:
        await self._act(state, f"{state['at']}")
        return {"at": state["at"] + 1, "done": [f"{state['name']}:{state['at']}"]}

    async def branch(self, state: Work) -> dict[str, Any]:
        step = f"{state['at']}.{state['branch']}"
        await self._act(state, step)
        return {"done": [f"{state['name']}:{step}"]}

    async def join(self, state: Work) -> dict[str, Any]:
        return {"at": state["at"] + 1}

    async def pause(self, state: Work) -> Command[Any]:
        answer = interrupt({"step": state["at"], "name": state["name"]})
        await self._act(state, f"{state['at']}p")
        return Command(
            update={
                "at": state["at"] + 1,
                "done": [f"{state['name']}:{state['at']}p"],
                "answers": [answer],
            }
        )

    async def _act(self, state: Work, step: str) -> None:
        name = state["name"]
        done = Done(run=name, step=step, pid=os.getpid())
        if pace := state.get("pace", 0.0):
            await asyncio.sleep(pace)
        await hold(self._world, Place(run=name, step=step, phase=Phase.BEFORE))
        await self._world.effect(done)
        await self._world.once(done)
        await hold(self._world, Place(run=name, step=step, phase=Phase.AFTER))
