"""What hostile code tries where hosts may be asked: for `sandbox check` and for the tests.

No attack here gets as far as a host that is named: nothing outside is asked.
"""

from __future__ import annotations

from tools.sandbox.abuse import ATTACKS, Attack, held

CLOSED_ALONE = "reach the network"
"""The attack that holds only where no host may be asked."""

OUTWARD = frozenset(
    {
        "endless loop",
        "endless loop that ignores signals",
        "flood the output",
        "crash the interpreter",
    }
)
"""Attacks on whoever runs the code, whatever it runs in."""

_ASK = """
import errno, os, socket
def ask(request):
    with socket.create_connection(("127.0.0.1", 3128), timeout=20) as proxy:
        proxy.sendall(request)
        return proxy.recv(100)
def refused(request):
    return ask(request).startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))
passed = []
"""
_VERDICT = "\nprint('held' if not passed else passed)\n"

NETWORK_ATTACKS: tuple[Attack, ...] = (
    Attack(
        name="ask hosts that are not named",
        code=_ASK
        + """
hosts = ["not-named.example", "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0",
         "169.254.169.254", "169.254.169.254.", "metadata.google.internal", "[::1]", "10.0.0.1",
         "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "a@b.example", "example.com%00.test",
         "example.com#.test", "example.com/.test", "\\u2488.test", " ", ""]
for host in hosts:
    for port in (80, 443, 22, 0, 99999, -1):
        name = host.encode()
        for request in (b"CONNECT %s:%d HTTP/1.1\\r\\n\\r\\n" % (name, port),
                        b"GET http://%s:%d/ HTTP/1.1\\r\\n\\r\\n" % (name, port)):
            if not refused(request):
                passed.append(request)
"""
        + _VERDICT,
        holds=held,
    ),
    Attack(
        name="send what is no request",
        code=_ASK
        + """
for request in (b"\\r\\n\\r\\n", b"GET / HTTP/1.1\\r\\nHost: example.com\\r\\n\\r\\n",
                b"GET ftp://example.com/ HTTP/1.1\\r\\n\\r\\n", b"CONNECT x HTTP/1.1\\r\\n\\r\\n",
                b"GET http://a/\\r\\nX: HTTP/1.1\\r\\n\\r\\n",
                b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n",
                b"GET http://x/ HTTP/1.1\\r\\nno field\\r\\n\\r\\n",
                b"\\x16\\x03\\x01" * 10 + b"\\r\\n\\r\\n",
                b"GET http://x/ HTTP/1.1\\r\\nX: " + b"x" * 100_000):
    try:
        if not refused(request):
            passed.append(request[:60])
    except ConnectionError:
        pass
"""
        + _VERDICT,
        holds=held,
    ),
    Attack(
        name="go around the proxy",
        code=_ASK
        + """
tcp = (socket.AF_INET, socket.SOCK_STREAM)
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 38, 40):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        for protocol in (0, 1, 17, 132, 262):
            if (family, kind, protocol) == (*tcp, 0):
                continue
            try:
                socket.socket(family, kind, protocol)
                passed.append((int(family), int(kind), protocol))
            except OSError:
                pass
for address in ("192.0.2.1", "169.254.169.254", "10.0.0.1", "1.1.1.1"):
    for port in (53, 80):
        try:
            socket.create_connection((address, port), timeout=2)
            passed.append(address)
        except OSError as error:
            if error.errno != errno.ENETUNREACH:
                passed.append((address, str(error)))
for host in ("example.com", "metadata.google.internal"):
    try:
        socket.getaddrinfo(host, 80)
        passed.append(host)
    except OSError:
        pass
names = [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]]
passed += [name for name in names if name != "lo"]
"""
        + _VERDICT,
        holds=held,
    ),
    Attack(
        name="flood the proxy",
        code=_ASK
        + """
import time
for _ in range(200):
    try:
        socket.create_connection(("127.0.0.1", 3128), timeout=5).close()
    except OSError:
        pass
held_open = []
for _ in range(12):
    one = socket.create_connection(("127.0.0.1", 3128), timeout=20)
    one.sendall(b"GET http://not-named.example/ HTTP/1.1\\r\\nX: ")
    held_open.append(one)
if not refused(b"CONNECT not-named.example:443 HTTP/1.1\\r\\n\\r\\n"):
    passed.append("after a flood")
for one in held_open:
    one.close()
"""
        + _VERDICT,
        holds=held,
    ),
)


def session_attacks(attacks: tuple[Attack, ...] = ATTACKS, *, asks: bool) -> tuple[Attack, ...]:
    """The attacks for sessions; ``asks`` where they may ask hosts."""
    if not asks:
        return attacks
    return (*(one for one in attacks if one.name != CLOSED_ALONE), *NETWORK_ATTACKS)
