"""The system calls that sandboxed code is refused, as a filter program for the kernel.

Classic BPF over ``struct seccomp_data`` (seccomp(2)): a list of refusals, all else allowed, since
namespaces, capabilities and limits already hold; this cuts off the kernel's rarely used edges.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}

# Number on x86_64 and on aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
_REFUSED: dict[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    # Memory that no writable folder's size and no file limit counts.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
# "Not implemented" makes libraries fall back to what can be inspected (clone3 hides its flags).
_ABSENT: dict[str, tuple[int, int | None]] = {
    "clone3": (435, 435),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
}
_CLONE = (56, 220)
_SOCKET = (41, 198)
_SOCKETPAIR = (53, 199)
_IOCTL = (16, 29)
# CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NAMESPACES = 0x80 | 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000
_NAMESPACES |= 0x40000000
_AF_UNIX, _AF_INET = 1, 2
_SOCK_STREAM, _SOCK_KIND = 1, 0xF
_IPPROTO_TCP = 6
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into somebody's terminal


def supported(machine: str) -> bool:
    """Whether a filter can be built for this ``platform.machine()``."""
    return machine in _AUDIT_ARCHITECTURE


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _tcp(number: int) -> Iterator[bytes]:
    """Allows ``socket`` for TCP over IPv4; whatever else it is asked for goes on."""
    yield _step(_JUMP_EQUAL, number, no=10)
    yield _step(_LOAD, _ARGUMENTS)
    yield _step(_JUMP_EQUAL, _AF_INET, no=7)
    yield _step(_LOAD, _ARGUMENTS + 8)
    yield _step(_AND, _SOCK_KIND)
    yield _step(_JUMP_EQUAL, _SOCK_STREAM, no=4)
    yield _step(_LOAD, _ARGUMENTS + 16)
    yield _step(_JUMP_EQUAL, 0, yes=1)
    yield _step(_JUMP_EQUAL, _IPPROTO_TCP, no=1)
    yield _step(_RETURN, _ALLOW)
    yield _step(_LOAD, _NUMBER)


def _steps(machine: str, *, tcp: bool) -> Iterator[bytes]:
    column = _COLUMN[machine]
    refuse = _step(_RETURN, _ERRNO | errno.EPERM)
    allow = _step(_RETURN, _ALLOW)

    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_JUMP_EQUAL, _AUDIT_ARCHITECTURE[machine], yes=1)
    yield _step(_RETURN, _KILL)
    yield _step(_LOAD, _NUMBER)
    if machine == "x86_64":
        yield _step(_JUMP_AT_LEAST, _X32, no=1)
        yield _step(_RETURN, _ERRNO | errno.ENOSYS)

    for table, answer in ((_REFUSED, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                yield _step(_JUMP_EQUAL, number, no=1)
                yield _step(_RETURN, _ERRNO | answer)

    yield _step(_JUMP_EQUAL, _CLONE[column], no=4)
    yield _step(_LOAD, _ARGUMENTS)
    yield _step(_JUMP_ANY_BIT, _NAMESPACES, no=1)
    yield refuse
    yield allow

    if tcp:
        yield from _tcp(_SOCKET[column])
    for call in (_SOCKET, _SOCKETPAIR):
        yield _step(_JUMP_EQUAL, call[column], no=4)
        yield _step(_LOAD, _ARGUMENTS)
        yield _step(_JUMP_EQUAL, _AF_UNIX, yes=1)
        yield refuse
        yield allow

    yield _step(_JUMP_EQUAL, _IOCTL[column], no=5)
    yield _step(_LOAD, _ARGUMENTS + 8)
    yield _step(_JUMP_EQUAL, _TERMINAL_INPUT[0], yes=1)
    yield _step(_JUMP_EQUAL, _TERMINAL_INPUT[1], no=1)
    yield refuse
    yield allow

    yield allow


def filter_program(machine: str, *, tcp: bool = False) -> bytes:
    """The filter for ``platform.machine()``, as bubblewrap's ``--seccomp`` reads it; with ``tcp``
    it allows sockets of that one kind.

    Raises:
        KeyError: no table for this machine; ask ``supported`` first.
    """
    return b"".join(_steps(machine, tcp=tcp))
