"""The thread-centric protocol: what a client subscribes to, and what it is told. Pure.

The shapes are those of the package ``langchain-protocol``; its clients are ``threads.stream`` of
LangGraph's SDKs and ``useStream`` of ``@langchain/react``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.graph_stream import CHECKPOINT_REFS

CHANNELS = (
    "values",
    "updates",
    "messages",
    "tools",
    "lifecycle",
    "input",
    "checkpoints",
    "tasks",
    "custom",
)
NAMED = "custom:"
MODES = ("values", "updates", "messages-tuple", "custom", "tasks", "tools", CHECKPOINT_REFS)
"""What a run tells that was started by this protocol, so that any channel can be read later."""
TEAM_MODES = ("values", "updates", "messages-tuple", "custom", CHECKPOINT_REFS)

_CHANNEL_OF = {"input.requested": "input"}
_MOST = 100

Namespace = tuple[str, ...]
Segment = Annotated[str, Field(max_length=500)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One event: ``method`` is its kind, ``namespace`` the path of subgraphs that it is of."""

    method: str
    data: Any
    namespace: Namespace = ()
    node: str | None = None
    of_run: bool = False
    """Whether it is about the run itself; its id then names the run, as clients expect."""

    def params(self, *, timestamp: int) -> dict[str, Any]:
        """The event's ``params``; ``timestamp`` in milliseconds since 1970."""
        node = {} if self.node is None else {"node": self.node}
        return {
            "namespace": list(self.namespace),
            "timestamp": timestamp,
            **node,
            "data": self.data,
        }


class Subscription(BaseModel):
    """Which events a client wants; ``since``: only those of a higher ``seq``."""

    model_config = ConfigDict(extra="ignore")

    channels: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=_MOST)
    namespaces: list[Annotated[list[Segment], Field(max_length=_MOST)]] | None = Field(
        default=None, max_length=_MOST
    )
    depth: int | None = Field(default=None, ge=0, le=_MOST)
    since: int | None = Field(default=None, ge=0, lt=2**63)

    @field_validator("channels")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for channel in value:
            named = channel.startswith(NAMED) and len(channel) > len(NAMED)
            if channel not in CHANNELS and not named:
                raise ValueError(
                    f"no channel {channel[:50]!r}; use {', '.join(CHANNELS)}, or custom:NAME"
                )
        return value

    @property
    def watches(self) -> bool:
        """Whether it asks for nothing but what begins, ends and is asked from now on.

        LangGraph's clients ask so for what they wait for; none of them tells the end of a run that
        was over before from that of its own.
        """
        whole = self.namespaces is None and self.depth is None and self.since is None
        return whole and set(self.channels) == {"lifecycle", "input"}

    def wants(self, told: Told) -> bool:
        """Whether the event is one of those."""
        channel = _CHANNEL_OF.get(told.method, told.method)
        if channel not in self.channels and not self._names(told):
            return False
        if not self.namespaces:
            return True
        return any(_under(told.namespace, prefix, depth=self.depth) for prefix in self.namespaces)

    def _names(self, told: Told) -> bool:
        name = told.data.get("name") if isinstance(told.data, Mapping) else None
        return told.method == "custom" and name is not None and f"{NAMED}{name}" in self.channels


def _under(namespace: Sequence[str], prefix: Sequence[str], *, depth: int | None) -> bool:
    """Whether a namespace begins with a prefix, whose names need not say which task is meant."""
    if len(prefix) > len(namespace):
        return False
    for wanted, segment in zip(prefix, namespace, strict=False):
        if segment != wanted and (":" in wanted or segment.partition(":")[0] != wanted):
            return False
    return depth is None or len(namespace) - len(prefix) <= depth
