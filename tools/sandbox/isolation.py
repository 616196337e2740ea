"""What separates the code from this machine, in words for operators."""

from __future__ import annotations

from pathlib import Path

from tools.sandbox.arguments import SHARED_MEMORY_BYTES
from tools.sandbox.interpreter import Interpreter
from tools.sandbox.sandbox import MEBIBYTE, Guarantee, Isolation, Limits


def _memory(limits: Limits, *, cgroup: bool, watch: bool) -> Guarantee:
    size = f"{limits.memory_bytes // MEBIBYTE} MB"
    if cgroup:
        detail = f"{size} for all processes together, held by a control group"
    elif watch:
        detail = (
            f"{size} a process; processes and files together watched and killed above {size} "
            "(no control group here: run as root, or give the service a delegated cgroup)"
        )
    else:
        detail = (
            f"{size} a process, {limits.processes} processes, nothing holds the sum: run as root, "
            "or give the service a delegated cgroup"
        )
    return Guarantee(name="memory budget", holds=cgroup or watch, detail=detail)


def _network(hosts: tuple[str, ...]) -> str:
    if not hosts:
        return "cut off: a namespace of its own"
    return (
        f"cut off: a namespace of its own; a proxy outside asks {', '.join(hosts)} for sessions, "
        "over HTTP and HTTPS"
    )


def describe(
    *,
    limits: Limits,
    dropped: int | None,
    seccomp: bool,
    cgroup: bool,
    watch: bool,
    interpreter: Interpreter,
    packages: Path | None,
    hosts: tuple[str, ...] = (),
) -> Isolation:
    """The list that ``sandbox check``, doctor and the log show."""
    user = "the server's own, unprivileged" if dropped is None else f"dropped to {dropped}"
    disk = limits.disk_bytes // MEBIBYTE
    shared = SHARED_MEMORY_BYTES // MEBIBYTE
    return Isolation(
        kind="bubblewrap",
        guarantees=(
            Guarantee(name="user", holds=True, detail=f"{user}; no capabilities"),
            Guarantee(name="network", holds=True, detail=_network(hosts)),
            Guarantee(
                name="files",
                holds=True,
                detail="the system's programs read-only; nothing of the server's",
            ),
            Guarantee(
                name="system calls",
                holds=seccomp,
                detail="dangerous ones refused (seccomp)"
                if seccomp
                else "not filtered: no list for this processor",
            ),
            _memory(limits, cgroup=cgroup, watch=watch),
            Guarantee(
                name="processes", holds=True, detail=f"{limits.processes} at most, all end together"
            ),
            Guarantee(
                name="disk",
                holds=True,
                detail=f"{disk} MB each for the work folder and /tmp, {shared} MB shared memory",
            ),
            Guarantee(name="time", holds=True, detail=f"{limits.seconds:g} s, then killed"),
            Guarantee(
                name="output",
                holds=True,
                detail=f"{limits.output_bytes // 1024} KB each of stdout and stderr",
            ),
            Guarantee(
                name="python",
                holds=True,
                detail=f"{interpreter.version} ({interpreter.executable}), "
                + (f"packages in {packages}" if packages else "standard library"),
            ),
        ),
    )
