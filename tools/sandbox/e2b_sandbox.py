"""The sandbox at E2B, in its cloud or on machines of one's own: a virtual machine a session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from tools.sandbox import e2b_machine
from tools.sandbox.e2b_machine import CLOUD, Access, Machine
from tools.sandbox.e2b_session import E2BSession
from tools.sandbox.sandbox import (
    Execution,
    Guarantee,
    Isolation,
    Limits,
    OutputKind,
    SandboxError,
    Session,
    checked_files,
)


class E2BSandbox:
    """Runs code in virtual machines of E2B's.

    ``sessions`` may be open at a time, and ``concurrency`` single runs go on beside them. A machine
    that nobody uses for ``life`` seconds is ended by E2B, also where this server died. Code reaches
    ``hosts`` alone, which E2B's firewall sees to.
    """

    def __init__(
        self,
        access: Access,
        *,
        limits: Limits,
        concurrency: int = 2,
        sessions: int = 8,
        life: float = 900.0,
        hosts: tuple[str, ...] = (),
    ) -> None:
        self._access = access
        self._limits = limits
        self._most = sessions
        self._turns = asyncio.Semaphore(concurrency)
        self._life = life
        self._hosts = hosts
        self._sessions: set[E2BSession] = set()
        self._single: set[E2BSession] = set()
        self._closed = False

    async def check(self) -> None:
        """Whether E2B would serve us; costs nothing. Raises SandboxError."""
        await e2b_machine.check(self._access)

    async def create(self, *, files: Mapping[str, bytes] | None = None) -> Session:
        contents = checked_files(files, limit=self._limits.disk_bytes // 2)
        self._check()
        if len(self._sessions) >= self._most:
            raise SandboxError(f"{self._most} sessions are open already, the most there may be")
        return await self._begun(contents, among=self._sessions)

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the seam
    ) -> Execution:
        contents = checked_files(files, limit=self._limits.disk_bytes // 2)
        self._check()
        async with self._turns:
            session = await self._begun(contents, among=self._single)
            try:
                execution = await session.run(code, timeout=timeout)
            finally:
                await asyncio.shield(session.close())
        values = [one.text for one in execution.outputs if one.kind is OutputKind.RESULT]
        printed = "".join(f"{text}\n" for text in values)
        return replace(execution, stdout=execution.stdout + printed)

    def describe(self) -> Isolation:
        where = self._access.domain
        place = "E2B's cloud" if where == CLOUD else f"E2B at {where}"
        network = f"lets through {', '.join(self._hosts)} alone" if self._hosts else "lets none out"
        details = {
            "user": "whoever it likes, in a virtual machine of its own; none on this machine",
            "network": f"E2B's firewall {network}; it is not checked from here",
            "files": f"nothing of this machine's; code and files of the session are at {place}",
            "system calls": "those of the virtual machine's own kernel",
            "memory budget": f"that of the virtual machine, as template {self._access.template} has"
            " it",
            "processes": "end with the session, not with their cell",
            "disk": "that of the virtual machine",
            "time": f"{self._limits.seconds:g} s, then interrupted, then given up",
            "output": f"{self._limits.output_bytes // 1024} KB each of stdout and stderr",
            "python": f"that of template {self._access.template}",
        }
        return Isolation(
            kind="e2b",
            guarantees=tuple(
                Guarantee(name=name, holds=True, detail=detail) for name, detail in details.items()
            ),
        )

    async def close(self) -> None:
        self._closed = True
        open_ones = (*self._sessions, *self._single)
        await asyncio.gather(*(session.close() for session in open_ones))

    def _check(self) -> None:
        if self._closed:
            raise SandboxError("the sandbox is closed")

    async def _machine(self) -> Machine:
        self._check()
        return await e2b_machine.start(self._access, life=self._life, hosts=self._hosts)

    async def _begun(self, files: Mapping[str, bytes], *, among: set[E2BSession]) -> E2BSession:
        session = E2BSession(
            self._machine,
            access=self._access,
            limits=self._limits,
            life=self._life,
            closed=among.discard,
        )
        among.add(session)
        try:
            await session.begin(files)
        except BaseException:
            await asyncio.shield(session.close())
            raise
        return session
