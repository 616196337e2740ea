"""Why a request at Slack's address is not taken."""

from __future__ import annotations


class UnsignedError(Exception):
    """It is not Slack's, or too old."""


class UnreadableError(Exception):
    """Slack's, and of no shape that is known of it; the message says what was stumbled over."""
