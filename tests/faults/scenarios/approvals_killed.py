"""Workers and servers killed at random around decisions and the tools that they let run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, field

import httpx

from server.approvals.record import Approval, ApprovalStatus
from tests.faults.nursery import Child
from tests.faults.oracle import Accepted, OracleError
from tests.faults.scenarios.approvals import times, wanting
from tests.faults.scenarios.readers import replicas
from tests.faults.stage import Stage
from tests.faults.tools import NAMES, REFUND, SHORT, TOML
from tests.faults.world import Hold, Phase, Place

RUNS = 5
KILLS = 5
"""Workers killed at random moments of a seed; a server and one in the middle of a tool besides."""
PEOPLE = ("olga", "omar")
_SECONDS = 60.0
_JITTER_SECONDS = 0.15
_UNKNOWN = "is not known"


def key_of(person: str) -> str:
    """The API key of a person."""
    return f"{person}-s key"


def people() -> str:
    """TOML with two operators, and the policy that their edits are judged by."""
    keys = [
        f'[[keys]]\nname = "{one}"\nroles = ["operator"]\n'
        f'sha256 = "{hashlib.sha256(key_of(one).encode()).hexdigest()}"\n'
        for one in PEOPLE
    ]
    return TOML + "".join(keys)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One call that the model will want, and what people will say of it."""

    tool: str
    order: str
    amount: int
    fate: str

    @property
    def said(self) -> list[str]:
        """One decision, or two at once that do not agree; none where it is to expire."""
        match self.fate:
            case "race":
                return ["approve", "reject"]
            case "expire":
                return []
            case _:
                return [self.fate]


@dataclass
class Chaos:
    """Two workers that are started again whenever one dies; and the moments to kill one at."""

    there: Stage
    living: list[Child] = field(default_factory=list)
    left: int = KILLS

    async def open(self) -> None:
        """Both workers at work."""
        for _ in range(2):
            await self._start()

    async def _start(self) -> None:
        self.living.append(await self.there.worker(concurrency=4, max_attempts=50))

    async def kill(self, pid: int = 0) -> None:
        """The one with the pid, or any; another one takes its place."""
        chosen = [child for child in self.living if child.pid == pid or not pid]
        if not chosen:
            return
        child = self.there.rng.choice(chosen)
        self.living.remove(child)
        await self.there.kill(child)
        await self._start()

    async def moment(self) -> None:
        """Something is being decided or run: kill a worker about now, sometimes."""
        if self.left <= 0 or self.there.rng.random() < 0.4:
            return
        self.left -= 1
        await self.there.pause(self.there.rng.uniform(0, _JITTER_SECONDS))
        await self.kill()


@dataclass
class Office:
    """People at two servers, who decide what comes up as their wishes say."""

    there: Stage
    wishes: dict[str, Wish]
    apis: list[tuple[Child, str]]
    chaos: Chaos
    seen: set[str] = field(default_factory=set)
    api_kill: int = 0

    async def work(self, runs: list[Accepted]) -> None:
        """Until every run is over."""
        async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as group:
            while not await self._over(runs):
                for one in await self.there.pending():
                    if one.approval_id not in self.seen:
                        self.seen.add(one.approval_id)
                        group.create_task(self._look(one))
                await asyncio.sleep(0.05)

    async def _over(self, runs: list[Accepted]) -> bool:
        found = await asyncio.gather(*(self.there.status(run) for run in runs))
        return all(state in {"success", "error", "cancelled"} for state in found)

    async def _look(self, one: Approval) -> None:
        wish = self.wishes[str(one.args["order"])]
        if _UNKNOWN in one.reason:
            # The person looks first whether it has happened.
            happened = await times(self.there, wish.tool, wish.order)
            await self._send(one, "respond" if happened else "approve", person=PEOPLE[0])
            return
        if not wish.said:
            return
        await self.there.pause(self.there.rng.uniform(0, 0.3))
        self.api_kill -= 1
        if self.api_kill == 0:
            await self._while_an_api_dies(one, wish)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.chaos.moment())
            for said, person in zip(wish.said, PEOPLE, strict=False):
                group.create_task(self._send(one, said, person=person))
        await self.chaos.moment()

    async def _while_an_api_dies(self, one: Approval, wish: Wish) -> None:
        async with asyncio.TaskGroup() as group:
            for said, person in zip(wish.said, PEOPLE, strict=False):
                group.create_task(self._send(one, said, person=person, first=0))
            await self.there.pause(self.there.rng.uniform(0, 0.03))
            await self.there.kill(self.apis[0][0])

    async def _send(self, one: Approval, said: str, *, person: str, first: int = 1) -> None:
        """Until it is answered, at the other server where one is silent."""
        body: dict[str, object] = {"decision": said, "via": "test"}
        if said == "edit":
            body["args"] = {**one.args, "amount": int(one.args["amount"]) + 1}
        if said == "respond":
            body["message"] = "it was done"
        path = f"/approvals/{one.approval_id}/decision"
        headers = {"x-api-key": key_of(person), "idempotency-key": f"{one.approval_id} {person}"}
        async with httpx.AsyncClient(timeout=5.0, headers=headers) as client:
            for turn in range(first, 200):
                _, url = self.apis[turn % len(self.apis)]
                with contextlib.suppress(httpx.TransportError):
                    reply = await client.post(f"{url}{path}", json=body)
                    if reply.status_code in {200, 409, 410}:
                        return
                    if reply.status_code < 500:
                        raise OracleError(f"{said}: {reply.status_code} {reply.text[:300]}")
                await asyncio.sleep(0.05)
        raise OracleError(f"no server answered {person}")


async def around_decisions(there: Stage) -> None:
    """Workers and a server are killed at random around decisions and tools: what was approved and
    may not be repeated runs once, what was rejected or expired never.
    """
    wishes = _wishes(there)
    runs: list[Accepted] = []
    async with replicas(there, count=2, config=people()) as apis:
        chaos = Chaos(there)
        held = next((wish for wish in wishes if wish.fate in {"approve", "edit"}), wishes[0])
        place = Place(
            run=held.order,
            step=held.tool,
            phase=there.rng.choice((Phase.BEFORE, Phase.AFTER)),
        )
        await there.world.hold(place, Hold.WAIT)
        await chaos.open()
        for start in range(0, len(wishes), 2):
            pair = [
                wanting(wish.tool, wish.order, wish.amount) for wish in wishes[start : start + 2]
            ]
            rounds = [pair] if there.rng.random() < 0.5 else [[one] for one in pair]
            runs.append(await there.accept_calls(*rounds))
        office = Office(
            there,
            wishes={wish.order: wish for wish in wishes},
            apis=apis,
            chaos=chaos,
            api_kill=there.rng.randint(1, 5),
        )
        holding = asyncio.create_task(_in_the_tool(there, chaos, place))
        try:
            await office.work(runs)
        finally:
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await holding
        await there.settled(runs)
        await _ran_as_decided(there, wishes)
        await there.judge(killed=True)
        await there.cleared()


def _wishes(there: Stage) -> list[Wish]:
    fates = ("approve", "approve", "edit", "reject", "respond", "expire", "race")
    wishes = []
    for number in range(2 * RUNS):
        fate = "approve" if number == 0 else there.rng.choice(fates)
        wishes.append(
            Wish(
                tool=REFUND if number == 0 else there.rng.choice(NAMES),
                order=f"o{number}",
                amount=there.rng.randint(1, SHORT - 1) if fate == "expire" else 100 + number,
                fate=fate,
            )
        )
    return wishes


async def _in_the_tool(there: Stage, chaos: Chaos, place: Place) -> None:
    """The worker that is held in the middle of the tool dies there."""
    pid = await there.world.reached(place, within=_SECONDS)
    await chaos.kill(pid)
    # Where it died before it was killed, whoever comes by is not held any more.
    await there.world.release(place)


async def _ran_as_decided(there: Stage, wishes: list[Wish]) -> None:
    """What was approved ran, in the end, once; what was not never did."""
    found: dict[str, list[Approval]] = {}
    for run in there.accepted:
        for one in await there.approvals.store.of_run(run.run_id):
            found.setdefault(str(one.args["order"]), []).append(one)
    problems = []
    for wish in wishes:
        asked = found.get(wish.order, [])
        first = next((one for one in asked if _UNKNOWN not in one.reason), None)
        if first is None:
            problems.append(f"{wish} was never asked about")
            continue
        expected = 1 if first.status.permits else 0
        count = await times(there, wish.tool, wish.order)
        allowed = {expected} if wish.tool == REFUND or not expected else {1, 2, 3, 4, 5, 6, 7, 8}
        if count not in allowed:
            stories = [f"{one.status}, used {one.uses}" for one in asked]
            problems.append(f"{wish} ran {count} times: {stories}")
        if first.status is not _expected(wish) and wish.fate != "race":
            problems.append(f"{wish} ended as {first.status}")
    if problems:
        raise OracleError("\n".join(problems))


def _expected(wish: Wish) -> ApprovalStatus:
    return {
        "approve": ApprovalStatus.APPROVED,
        "edit": ApprovalStatus.EDITED,
        "reject": ApprovalStatus.REJECTED,
        "respond": ApprovalStatus.RESPONDED,
        "expire": ApprovalStatus.EXPIRED,
        "race": ApprovalStatus.PENDING,
    }[wish.fate]
