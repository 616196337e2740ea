"""What the settings say of webhooks, and a webhook as a request names it: refused there and then
if it can never be called."""

from __future__ import annotations

from server.errors import Invalid
from server.settings import Settings
from server.webhooks import signing
from tools.web import addresses
from tools.web.addresses import AddressError, Opened, RefusedError


def opened(settings: Settings) -> Opened:
    """What the operator lets webhooks call beside the public internet."""
    return Opened.of(settings.webhook_allow)


def secret(settings: Settings) -> bytes | None:
    """The operator's own secret."""
    given = settings.webhook_secret
    return None if given is None else signing.read(given.get_secret_value())


def base(settings: Settings) -> str | None:
    """Where a webhook that is a path leads; None where that is not known."""
    if settings.webhook_base is not None:
        return settings.webhook_base
    if not settings.port:
        return None
    every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not a binding
    host = every.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def check(webhook: str | None, settings: Settings) -> None:
    """Raises Invalid for a URL that is none, or one that leads inside. A path leads to our own."""
    if not webhook:
        return
    try:
        if webhook.startswith("/"):
            # Any host does to look at the rest.
            addresses.parse(f"http://localhost{webhook}")
            if webhook.startswith("//"):
                raise AddressError("must be an http or https URL, or a path of this server")
        else:
            addresses.check(webhook, opened(settings))
    except RefusedError as error:
        raise Invalid(
            f"webhook: {error}; the operator may name it in webhook_allow", param="webhook"
        ) from None
    except AddressError as error:
        raise Invalid(f"webhook: {error}", param="webhook") from None
