"""A process with the seccomp profile of deploy/sandbox, and no way to new privileges, as `worker`
of docker-compose.yml has them. It runs code in the sandbox and prints what came of it.

The profile is turned into the kernel's program by the numbers that the sandbox's own filter knows.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import platform
import struct
from collections.abc import Sequence
from pathlib import Path

from tools.sandbox import seccomp
from tools.sandbox.find import Unavailable, open_sandbox

PROFILE = Path(__file__).parents[2] / "deploy" / "sandbox" / "seccomp.json"
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2
_EPERM = 0x00050000 | 1
_ALLOW = 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refused() -> list[str]:
    """The system calls that the profile refuses."""
    (rule,) = json.loads(PROFILE.read_text())["syscalls"]
    names: list[str] = rule["names"]
    return names


def numbers(names: Sequence[str]) -> list[int]:
    """Of the calls, on this machine. Raises KeyError for one that the sandbox's filter lacks."""
    column = seccomp._COLUMN[platform.machine()]
    table = {**seccomp._REFUSED, **seccomp._ABSENT}
    return [number for name in names if (number := table[name][column]) is not None]


def confine() -> None:
    """From now on this process is one of a container."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    steps = [struct.pack("=HBBI", 0x20, 0, 0, 0)]
    for number in numbers(refused()):
        steps.append(struct.pack("=HBBI", 0x15, 0, 1, number))
        steps.append(struct.pack("=HBBI", 0x06, 0, 0, _EPERM))
    steps.append(struct.pack("=HBBI", 0x06, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = _Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    assert libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()


async def main() -> None:
    confine()
    sandbox = await open_sandbox()
    if isinstance(sandbox, Unavailable):
        print(f"unavailable: {sandbox.reason}")
        return
    try:
        done = await sandbox.run("print(6 * 7)")
        print(f"said: {done.stdout.strip()}")
    finally:
        await sandbox.close()


if __name__ == "__main__":
    asyncio.run(main())
