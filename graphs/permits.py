"""What lets a call run that a person has to be asked about: a decision, used once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardrails.arguments import digest


@dataclass(frozen=True, kw_only=True)
class Permit:
    """That this call may run: which approval says so."""

    approval_id: str


class Permits(Protocol):
    """The decisions of one run's people, as the tools' executor asks for them."""

    async def consume(self, tool: str, args: Mapping[str, Any], *, call_id: str) -> Permit | None:
        """Use up the approval of exactly this tool and these arguments, or None: do not run it.

        The same ``call_id`` is given the same permit again. Raises graphs.fence.FencedError.
        """
        ...

    async def remembered(self, tool: str, args: Mapping[str, Any]) -> bool:
        """Whether an approval of an equal call holds for this run, so that nobody is asked."""
        ...


@dataclass(kw_only=True)
class MemoryPermits:
    """The twin without Redis. ``granted`` are digests that were approved, each for one call."""

    granted: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    used: dict[str, str] = field(default_factory=dict)

    def grant(self, tool: str, args: Mapping[str, Any], *, remember: bool = False) -> None:
        """A person approved this call."""
        found = digest(tool, args)
        if remember:
            self.kept.add(found)
        else:
            self.granted.append(found)

    async def consume(self, tool: str, args: Mapping[str, Any], *, call_id: str) -> Permit | None:
        found = digest(tool, args)
        if call_id in self.used:
            return Permit(approval_id=found) if self.used[call_id] == found else None
        if found in self.granted:
            self.granted.remove(found)
        elif found not in self.kept:
            return None
        self.used[call_id] = found
        return Permit(approval_id=found)

    async def remembered(self, tool: str, args: Mapping[str, Any]) -> bool:
        return digest(tool, args) in self.kept


class NoPermits:
    """Where nobody can be asked: no call that needs a person runs."""

    async def consume(self, tool: str, args: Mapping[str, Any], *, call_id: str) -> Permit | None:
        del tool, args, call_id
        return None

    async def remembered(self, tool: str, args: Mapping[str, Any]) -> bool:
        del tool, args
        return False
