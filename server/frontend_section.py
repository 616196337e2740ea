"""What chat frontends do to a server besides asking questions, as settings."""

from __future__ import annotations

from pydantic import BaseModel, Field

from server.threads.thread import CHAT, SOURCE, NewThread, TimeToLive


class FrontendSettings(BaseModel):
    """Chat frontends among the settings."""

    frontend_tasks: bool = Field(
        default=True,
        description="Whether titles, tags, follow-up questions and the like, which chat frontends "
        "ask for by themselves, are answered by one call of the cheapest model; else by the team, "
        "see [frontends](frontends.md)",
    )
    chat_thread_days: float = Field(
        default=7.0,
        ge=0,
        le=3650,
        description="Days for which the thread of a chat completion or a response is kept after "
        "its last change; one that waits for a person stays. 0: for ever",
    )

    def chat_thread(self) -> NewThread:
        """The thread that a chat completion makes."""
        minutes = self.chat_thread_days * 24 * 60
        ttl = TimeToLive(minutes=minutes) if minutes else None
        return NewThread(metadata={SOURCE: CHAT}, ttl=ttl)
