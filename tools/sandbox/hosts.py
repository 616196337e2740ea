"""Which hosts code in the sandbox may ask, by name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tools.web import addresses
from tools.web.addresses import AddressError, Opened, RefusedError, Target

_ANY = "*."


def checked_hosts(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns in their one spelling: names, or ``*.`` and a name for all below it.

    Raises:
        ValueError: one is no name; an address is none.
    """
    return tuple(_checked(pattern) for pattern in patterns)


def _checked(pattern: str) -> str:
    below = pattern.startswith(_ANY)
    name = pattern.removeprefix(_ANY)
    try:
        target = addresses.parse(f"http://{name}/")
    except AddressError:
        raise ValueError(_complaint(pattern)) from None
    spelled = name.removesuffix(".").lower()
    if target.address is not None or (name.isascii() and target.host != spelled):
        raise ValueError(_complaint(pattern))
    if below and "." not in target.host:
        raise ValueError(f"{pattern!r} opens a whole top-level domain; name one below it")
    return f"{_ANY}{target.host}" if below else target.host


def _complaint(pattern: str) -> str:
    return f"{pattern!r} is no host; write a name such as api.example.com, or *.example.com"


def is_named(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host is one of those named; ``*.example.com`` is each below, and not itself."""
    for pattern in patterns:
        if host == pattern or (pattern.startswith(_ANY) and host.endswith(pattern[1:])):
            return True
    return False


def checked(url: str, *, patterns: Sequence[str], ports: Iterable[int], opened: Opened) -> Target:
    """What a guest asks for, as far as it can be judged without looking its name up.

    Raises:
        AddressError: it is no URL with a host, or not among what code may ask.
    """
    target = addresses.parse(url)
    if target.address is not None:
        raise RefusedError("an address is not among the hosts that code here may ask")
    if not is_named(target.host, patterns):
        raise RefusedError(f"{target.host[:100]} is not among the hosts that code here may ask")
    if addresses.is_local_name(target.host) and target.host not in opened.hosts:
        raise RefusedError(f"{target.host[:100]} is not of the public internet")
    if target.port not in ports:
        raise RefusedError(f"port {target.port} is not among those that code here may ask")
    return target
