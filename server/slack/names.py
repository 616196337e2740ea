"""What is kept about Slack, by its names in Redis; all of it lives on one node of a cluster."""

from __future__ import annotations

from graphs.keys import Keys


class Names:
    """The names of everything that this package keeps."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def event(self, event_id: str) -> str:
        """Hash: an event that was taken and is not yet done."""
        return self._keys.slack("event", event_id)

    def seen(self, event_id: str) -> str:
        """String: that an event was taken, which makes another of its id a repetition."""
        return self._keys.slack("seen", event_id)

    @property
    def events_due(self) -> str:
        """Sorted set: events by when to look at them, in microseconds."""
        return self._keys.slack("events-due")

    def reply(self, run_id: str) -> str:
        """Hash: what a run has said in Slack so far."""
        return self._keys.slack("reply", run_id)

    @property
    def replies_due(self) -> str:
        """Sorted set: runs whose replies are not over, by when to look at them, in microseconds."""
        return self._keys.slack("replies-due")

    def link(self, kind: str, name: str) -> str:
        """String: a small JSON object under a kind and a name."""
        return self._keys.slack("link", kind, name)

    def feedback(self, run_id: str) -> str:
        """Hash: what people think of a run's answer, as JSON by who said it."""
        return self._keys.slack("feedback", run_id)
