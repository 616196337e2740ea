"""Which URL leads to the outside world, and not into our own. Pure.

A URL is read once, by rules that are stricter than any HTTP client's, and only what was read goes
on: the client gets ``Target.url``, never the text that was sent. A name's addresses are judged one
by one where they are looked up (``tools.web.resolver``), so that what was judged is what is used.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST = 2000
PORTS = {"http": 80, "https": 443}

# What `is_global` of some Python says too much of, or nothing.
_CLOSED = tuple(
    ipaddress.ip_network(word)
    for word in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24"
        " 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16"
        " 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 ::/96"
        " 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32 2620:4f:8000::/48"
        " 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8"
    ).split()
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PART = re.compile(r"0x[0-9a-f]*|[0-9]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class AddressError(ValueError):
    """A URL that may not be called; the message says why, in one line, without the URL."""


class RefusedError(AddressError):
    """It leads to an address that is not of the public internet, and that nobody opened."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A URL as it was understood. ``host`` is a name in ASCII, or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def address(self) -> Address | None:
        """The address that the host is, if it is none to be looked up."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def url(self) -> str:
        """The same thing, spelled in the one way that every client understands alike."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What an operator opened beside the public internet: names with all their addresses, and
    networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, words: Iterable[str]) -> Self:
        """From names, addresses and networks such as ``10.1.0.0/16``. Raises ValueError."""
        hosts, networks = set(), []
        for word in words:
            try:
                networks.append(ipaddress.ip_network(word.strip("[] ")))
            except ValueError:
                if "/" in word:
                    raise ValueError(
                        f"{word!r} is no network; write one such as 10.1.0.0/16"
                    ) from None
                try:
                    hosts.add(_host(word))
                except AddressError:
                    raise ValueError(f"{word!r} is no host, address or network") from None
        return cls(hosts=frozenset(hosts), networks=tuple(networks))

    def judge(self, host: str, address: Address) -> None:
        """Raises RefusedError unless a connection to this address of ``host`` is fine."""
        if host in self.hosts:
            return
        for one in inner(address):
            inside = any(one in network for network in self.networks)
            if not inside and not is_public(one):
                raise RefusedError(
                    f"{host[:100]} is at {address}, which is not of the public internet"
                )


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and nobody's inside."""
    return address.is_global and not any(address in network for network in _CLOSED)


def inner(address: Address) -> list[Address]:
    """The addresses that a packet to this one may reach: itself, or what is wrapped in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    return [address]


def parse(url: str) -> Target:
    """The URL, understood. Raises AddressError."""
    if len(url) > LONGEST:
        raise AddressError(f"is longer than {LONGEST} characters")
    if any(one.isspace() or ord(one) < 0x20 or ord(one) == 0x7F for one in url) or "\\" in url:
        raise AddressError("holds white space, control characters or a backslash")
    if any(0xD800 <= ord(one) < 0xE000 for one in url):
        raise AddressError("holds half a character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressError("is no URL: its host or port cannot be read") from None
    if parts.scheme not in PORTS or not parts.netloc:
        raise AddressError("must be an http or https URL with a host")
    if "@" in parts.netloc:
        raise AddressError("may not hold a user name or password")
    if port == 0:
        raise AddressError("has no port that can be called")
    path = quote(parts.path or "/", safe=_SAFE)
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    return Target(
        scheme=parts.scheme,
        host=_host(parts.hostname or ""),
        port=port or PORTS[parts.scheme],
        path=path + query,
    )


def check(url: str, opened: Opened) -> Target:
    """The URL, as far as it can be judged without looking a name up. Raises AddressError."""
    target = parse(url)
    if (address := target.address) is not None:
        opened.judge(target.host, address)
    elif is_local_name(target.host) and target.host not in opened.hosts:
        raise RefusedError(f"{target.host} is not of the public internet")
    return target


def is_local_name(host: str) -> bool:
    """Whether a name means this machine wherever it is looked up."""
    return host == "localhost" or host.endswith(".localhost")


def _host(text: str) -> str:
    """A host in its one spelling: a name in ASCII, or an address. Raises AddressError."""
    text = text.strip("[]")
    if "%" in text:
        raise AddressError("has a host with a percent sign")
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            raise AddressError("has a host that is no address") from None
    try:
        # Full stops, digits and letters of other scripts become those that are looked up.
        name = text.encode("idna").decode().lower() if not text.isascii() else text.lower()
    except UnicodeError:
        raise AddressError("has a host that is no name") from None
    name = name.removesuffix(".")
    labels = name.split(".")
    if _PART.fullmatch(labels[-1]):
        return str(_number(labels))
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError("has a host that is no name")
    return name


def _number(labels: list[str]) -> ipaddress.IPv4Address:
    """An IPv4 address as any resolver takes it: ``127.1``, ``0x7f.1``, ``017700000001``.

    Raises AddressError.
    """
    if len(labels) > 4 or not all(_PART.fullmatch(label) for label in labels):
        raise AddressError("has a host that is no address")
    try:
        parts = [_digits(label) for label in labels]
    except ValueError:
        raise AddressError("has a host that is no address") from None
    *head, last = parts
    if any(part > 255 for part in head) or last >= 256 ** (5 - len(parts)):
        raise AddressError("has a host that is no address")
    found = last
    for place, part in enumerate(head):
        found += part << 8 * (3 - place)
    return ipaddress.IPv4Address(found)


def _digits(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if label.startswith("0") and label != "0" else int(label)
