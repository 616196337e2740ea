"""People who decide at once, and processes that die around their decisions."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from itertools import pairwise

from guardrails.policy import Choice
from server.approvals.record import Approval, ApprovalStatus
from server.auth import Caller
from server.sections import CallerRole
from tests.faults.nursery import Child
from tests.faults.oracle import OracleError
from tests.faults.polling import eventually
from tests.faults.stage import Stage
from tests.faults.tools import REFUND, UPDATE
from tests.faults.worker import ASKED
from tests.faults.world import Hold, Phase, Place

_SECONDS = 30.0


def wanting(tool: str, order: str, amount: int = 120) -> tuple[str, dict[str, object]]:
    """One call as the model wants it."""
    return tool, {"order": order, "amount": amount}


async def all_asked(there: Stage, count: int, *, within: float = _SECONDS) -> list[Approval]:
    """Wait until so many wait for a person and their runs are paused."""

    async def look() -> list[Approval]:
        found = await there.pending()
        if len(found) != count:
            return []
        paused = await asyncio.gather(*(there.runs.get(one.run_id) for one in found))
        settled = all(record.status == "interrupted" for record in paused)
        return found if settled else []

    return await eventually(look, within=within, what=f"{count} wait for a person", every=0.1)


async def times(there: Stage, tool: str, order: str) -> int:
    """How often a call was really made."""
    return sum((one.tool, one.order) == (tool, order) for one in await there.world.calls())


async def expect(there: Stage, tool: str, order: str, count: int) -> None:
    """Raises OracleError where the call was made another number of times."""
    if (found := await times(there, tool, order)) != count:
        raise OracleError(f"{tool} for {order} ran {found} times, expected {count}")


async def approve(there: Stage, one: Approval) -> Approval:
    """As an operator."""
    return await decide(there, one, "approve")


async def decide(
    there: Stage, one: Approval, choice: str, *, message: str | None = None
) -> Approval:
    """As an operator, in the scenario's own process."""
    caller = Caller(name="olga", roles=frozenset({CallerRole.OPERATOR}))
    return await there.approvals.decide(
        one.approval_id, tenant="default", caller=caller, choice=Choice(choice), message=message
    )


async def races(there: Stage) -> None:
    """Deciders from several processes and two surfaces at once: one winner each, and one run.

    The long form: 1,000 deciders, 100 approvals, four processes; else a fifth of it from two.
    """
    count, processes = (100, 4) if there.full else (20, 2)
    await there.worker(concurrency=8)
    orders = [f"o{number}" for number in range(count)]
    runs = await asyncio.gather(*(there.accept_calls([wanting(REFUND, order)]) for order in orders))
    asked = await all_asked(there, count, within=90)
    decisions = [
        {
            "id": one.approval_id,
            "choice": there.rng.choice(("approve", "reject")),
            "who": f"person {number}",
            "via": there.rng.choice(("console", "slack")),
        }
        for one in asked
        for number in range(10)
    ]
    there.rng.shuffle(decisions)
    parts = [decisions[start::processes] for start in range(processes)]
    deciders = [await _decider(there, part) for part in parts]
    await there.world.start()
    for child in deciders:
        await child.gone(within=60)
    won = await _winners(there, asked, deciders=len(decisions))
    await there.settled(runs, within=60)
    for one in asked:
        await expect(there, REFUND, str(one.args["order"]), int(won[one.approval_id] == "approve"))
    await there.judge()
    await there.cleared()


async def _decider(there: Stage, decisions: list[dict[str, str]], *, dies: bool = False) -> Child:
    spec = {
        "url": there.server.url,
        "world": there.world_url,
        "decisions": decisions,
        "dies": dies,
    }
    child = await there.nursery.spawn("decider", spec)
    there.children.append(child)
    return child


async def _winners(there: Stage, asked: list[Approval], *, deciders: int) -> dict[str, str]:
    """What won, by approval. Raises OracleError where one has another number of winners."""
    outcomes = await there.world.outcomes()
    told = Counter(one["outcome"] for one in outcomes)
    if told != Counter(won=len(asked), lost=deciders - len(asked)):
        raise OracleError(f"{deciders} deciders over {len(asked)} approvals: {dict(told)}")
    won: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for each in outcomes:
        if each["outcome"] == "won":
            won[each["id"]].append(each)
    for one in asked:
        now = await there.approvals.get(one.approval_id, tenant="default")
        said = [(each.decider, each.choice.value, each.via) for each in now.decisions]
        expected = [(each["who"], each["choice"], each["via"]) for each in won[one.approval_id]]
        if len(said) != 1 or said != expected:
            raise OracleError(f"approval {one.approval_id} says {said}, the winners {expected}")
    return {named: many[0]["choice"] for named, many in won.items()}


async def dies_when_asked(there: Stage) -> None:
    """A worker dies when its request is stored and its run not yet paused: asked once, run once.

    By chance somebody decides while no worker lives.
    """
    early = there.rng.random() < 0.5
    first = await there.worker()
    place = Place(run="thread-r1", step=ASKED, phase=Phase.AFTER)
    await there.world.hold(place, Hold.WAIT)
    run = await there.accept_calls([wanting(REFUND, "a")])
    await there.world.reached(place, within=_SECONDS)
    (one,) = await there.pending()
    await there.kill(first)
    if early:
        await approve(there, one)
    await there.worker()
    if not early:
        (again,) = await all_asked(there, 1)
        if again.approval_id != one.approval_id:
            raise OracleError("the same request was put down twice")
        await approve(there, again)
    await there.until(run, "success")
    await expect(there, REFUND, "a", 1)
    await there.judge(killed=True)
    await there.cleared()


async def dies_when_decided(there: Stage) -> None:
    """Who took the decision dies before the run is told: a sweeper tells it, and it runs once."""
    await there.worker()
    choice = there.rng.choice(("approve", "reject"))
    run = await there.accept_calls([wanting(REFUND, "a")])
    (one,) = await all_asked(there, 1)
    decision = {"id": one.approval_id, "choice": choice, "who": "olga", "via": "console"}
    child = await _decider(there, [decision], dies=True)
    there.kills += 1
    await there.world.start()
    await child.gone()
    if child.status == 0:
        raise OracleError("the decider was to die, and did not")
    await there.until(run, "success", within=5)
    await expect(there, REFUND, "a", int(choice == "approve"))
    await there.judge()
    await there.cleared()


async def dies_in_the_tool(there: Stage) -> None:
    """A worker dies in the middle of an approved tool: what may be repeated is, under its key; the
    rest goes to a person, who is told that it may have happened.
    """
    held = [
        Place(run="before", step=REFUND, phase=Phase.BEFORE),
        Place(run="after", step=REFUND, phase=Phase.AFTER),
        Place(run="again", step=UPDATE, phase=there.rng.choice((Phase.BEFORE, Phase.AFTER))),
    ]
    workers = [await there.worker(concurrency=1) for _ in held]
    for place in held:
        await there.world.hold(place, Hold.WAIT)
    runs = {place.run: await there.accept_calls([wanting(place.step, place.run)]) for place in held}
    for one in await all_asked(there, len(held)):
        await approve(there, one)
    pids = [await there.world.reached(place, within=_SECONDS) for place in held]
    for worker in workers:
        if worker.pid not in pids:
            raise OracleError(f"tools are held by {pids}, each worker was to have one")
        await there.kill(worker)
    await there.worker()
    await there.until(runs["again"], "success")
    repeated = [one for one in await there.world.calls() if one.order == "again"]
    if len({one.key for one in repeated}) != 1 or len(repeated) > 2:
        raise OracleError(f"what may be repeated ran as {repeated}")
    for one in await all_asked(there, 2):
        if "is not known" not in one.reason or one.status is not ApprovalStatus.PENDING:
            raise OracleError(f"a call that may have happened is asked about with {one.reason!r}")
        # The person looks first.
        if one.args["order"] == "after":
            await decide(there, one, "respond", message="It was done.")
        else:
            await approve(there, one)
    for place in held:
        await there.until(runs[place.run], "success")
    await expect(there, REFUND, "before", 1)
    await expect(there, REFUND, "after", 1)
    await there.judge(killed=True)
    await there.cleared()


async def expires_unattended(there: Stage) -> None:
    """What expires while no worker lives is expired for whoever decides, and never runs."""
    worker = await there.worker()
    run = await there.accept_calls([wanting(REFUND, "late", 5)])
    (one,) = await all_asked(there, 1)
    await there.kill(worker)
    late = await _decider_at_the_end(there, one)
    await there.worker()
    await there.until(run, "success")
    now = await there.approvals.get(one.approval_id, tenant="default")
    if now.status is not ApprovalStatus.EXPIRED or late != Counter(late=4):
        raise OracleError(f"it is {now.status}, and who decided was told {dict(late)}")
    await expect(there, REFUND, "late", 0)
    await there.judge(killed=True)
    await there.cleared()


async def _decider_at_the_end(there: Stage, one: Approval) -> Counter[str]:
    """Four decide once its time is over, by Redis' clock."""
    decisions = [
        {"id": one.approval_id, "choice": choice, "who": f"{choice} {via}", "via": via}
        for choice in ("approve", "reject")
        for via in ("console", "slack")
    ]
    child = await _decider(there, decisions)

    async def over() -> bool:
        seconds, microseconds = await there.redis.time()
        return bool(seconds + microseconds / 1e6 > one.expires_at.timestamp())

    await eventually(over, within=10, what="its time is over")
    await there.world.start()
    await child.gone()
    return Counter(each["outcome"] for each in await there.world.outcomes())


async def survives_a_restart(there: Stage) -> None:
    """A hundred wait, every process is killed, Redis too: all are there, and go on when decided."""
    workers = [await there.worker(concurrency=8) for _ in range(2)]
    runs = await asyncio.gather(*(there.accept("ps") for _ in range(100)))
    asked = await all_asked(there, len(runs), within=60)
    for worker in workers:
        await there.kill(worker)
    await there.redis.waitaof(1, 0, 5_000)
    await there.server.kill()
    await there.server.start()
    found = await all_asked(there, len(runs), within=15)
    if {one.approval_id for one in found} != {one.approval_id for one in asked}:
        raise OracleError("what waits after a restart is not what waited before it")
    for earlier, later in pairwise(found):
        if earlier.requested_at > later.requested_at:
            raise OracleError("after a restart they are not in their order")
    await there.worker(concurrency=8)
    await asyncio.gather(*(decide(there, one, "respond", message="go on") for one in found))
    await there.settled(runs, within=90)
    await there.judge(killed=True)
    await there.cleared()
