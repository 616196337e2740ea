"""Signatures of webhooks, as the Standard Webhooks specification has them. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
_SHORTEST = 16


def headers(*, message_id: str, timestamp: int, body: bytes, secret: bytes) -> dict[str, str]:
    """What is sent beside a body; ``timestamp`` in seconds."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    made = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1,{made}",
    }


def shown(secret: bytes) -> str:
    """A secret as receivers are given it."""
    return PREFIX + base64.b64encode(secret).decode()


def read(text: str) -> bytes:
    """The reverse of ``shown``; any other text is its own bytes. Raises ValueError."""
    if not text.startswith(PREFIX):
        found = text.encode()
    else:
        try:
            found = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"what follows {PREFIX} is not base64") from None
    if len(found) < _SHORTEST:
        raise ValueError("is too short to be secret; use 16 bytes or more")
    return found
