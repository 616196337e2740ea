"""Which host an address leads to: one strict reading, where readers differ there is none."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_AUTHORITY_END = re.compile(r"[/?#]")
_PORT = re.compile(r":\d{0,5}$")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)$")
# Space, controls and backslashes are where browsers and libraries read one URL in two ways.
_DOUBTFUL = re.compile(r"[\s\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class HostError(ValueError):
    """A pattern that can name no host."""


def host_of(address: str) -> str | None:
    """The host that a URL or a bare ``host[:port]`` leads to, normalised; None where in doubt.

    Normalised: lower case, no trailing dot, IDN as ``xn--``, IP addresses in their one spelling.
    None: white space, controls, a backslash or ``%`` in the host, several ``@``, no ``//`` behind
    a scheme, a number that is only loosely an IP address, a label that IDNA versions disagree on.
    """
    if not address or _DOUBTFUL.search(address):
        return None
    scheme = _SCHEME.match(address)
    if scheme:
        rest = address[scheme.end() :]
    elif address.startswith("//"):
        rest = address[2:]
    else:
        rest = address
        if _AUTHORITY_END.search(address) or "@" in address:
            return None
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
    if authority.count("@") > 1:
        return None
    return normal_host(_PORT.sub("", authority.rpartition("@")[2]))


def normal_host(name: str) -> str | None:
    """One host name or IP address, normalised; None where it is none."""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
        if ":" not in name:
            return None
    if ":" in name:
        try:
            return str(ipaddress.IPv6Address(name)) if "%" not in name else None
        except ValueError:
            return None
    ascii_name = _ascii(name.removesuffix("."))
    if ascii_name is None or len(ascii_name) > 253:
        return None
    labels = ascii_name.split(".")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]):
        try:
            return str(ipaddress.IPv4Address(ascii_name))
        except ValueError:
            return None
    return ascii_name if all(_LABEL.match(label) for label in labels) else None


def _ascii(name: str) -> str | None:
    if name.isascii():
        return name.lower()
    try:
        new = idna.encode(name, uts46=True).decode()
        transitional = name.encode("idna").decode()
    except (idna.IDNAError, UnicodeError):
        return None
    return new.lower() if new.lower() == transitional.lower() else None


@dataclass(frozen=True, kw_only=True)
class HostPattern:
    """A host by its name, or with ``wild`` every host below it (at any depth, not itself)."""

    name: str
    wild: bool = False

    def matches(self, host: str) -> bool:
        """Whether a normalised host is meant."""
        return host.endswith("." + self.name) if self.wild else host == self.name

    def __str__(self) -> str:
        return f"*.{self.name}" if self.wild else self.name


def pattern(text: str) -> HostPattern:
    """``a.com`` or ``*.a.com``. Raises HostError."""
    text = text.strip()
    wild = text.startswith("*.")
    name = normal_host(text.removeprefix("*.") if wild else text)
    if name is None or (wild and re.fullmatch(r"[\d.]+|.*:.*", name)):
        raise HostError(f"{text!r} is no host: write a.com, or *.a.com for the hosts below it")
    return HostPattern(name=name, wild=wild)
