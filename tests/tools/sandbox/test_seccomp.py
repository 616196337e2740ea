"""The filter, run by a small interpreter of the kernel's rules."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.sandbox import seccomp

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
REFUSED = ERRNO | errno.EPERM
ABSENT = ERRNO | errno.ENOSYS


def _verdict(
    machine: str,
    number: int,
    *arguments: int,
    architecture: int | None = None,
    tcp: bool = False,
) -> int:
    """What the kernel would answer to this call."""
    program = seccomp.filter_program(machine, tcp=tcp)
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack(
        "=IIQ6Q", number, MACHINES[machine] if architecture is None else architecture, 0, *padded
    )
    at, register = 0, 0
    while True:
        code, yes, no, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        match code:
            case 0x20:
                (register,) = struct.unpack_from("=I", data, value)
            case 0x15:
                at += yes if register == value else no
            case 0x35:
                at += yes if register >= value else no
            case 0x45:
                at += yes if register & value else no
            case 0x54:
                register &= value
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"instruction {code:x}")


@pytest.mark.parametrize(
    ("machine", "number"),
    [("x86_64", 101), ("x86_64", 165), ("x86_64", 272), ("aarch64", 117), ("aarch64", 40)],
    ids=["ptrace", "mount", "unshare", "ptrace on arm", "mount on arm"],
)
@pytest.mark.parametrize("tcp", [False, True])
def test_a_dangerous_call_is_refused(machine: str, number: int, *, tcp: bool) -> None:
    assert _verdict(machine, number, tcp=tcp) == REFUSED


@pytest.mark.parametrize(("machine", "call"), [("x86_64", 41), ("aarch64", 198)])
@given(
    family=st.integers(0, 50),
    kind=st.integers(0, 2**12 - 1),
    protocol=st.sampled_from([0, 1, 6, 17, 132, 262]),
    tcp=st.booleans(),
)
def test_a_socket_is_a_local_one_or_where_hosts_are_open_one_of_tcp(
    machine: str, call: int, family: int, kind: int, protocol: int, *, tcp: bool
) -> None:
    is_tcp = (family, kind & 0xF) == (2, 1) and protocol in {0, 6}
    expected = ALLOW if family == 1 or (tcp and is_tcp) else REFUSED
    assert _verdict(machine, call, family, kind, protocol, tcp=tcp) == expected
    pair = ALLOW if family == 1 else REFUSED
    assert _verdict(machine, call + (12 if call == 41 else 1), family, kind, tcp=tcp) == pair


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
@given(flags=st.integers(0, 2**32 - 1))
def test_clone_passes_exactly_without_a_new_namespace(machine: str, clone: int, flags: int) -> None:
    expected = REFUSED if flags & 0x7E020080 else ALLOW
    assert _verdict(machine, clone, flags) == expected


@pytest.mark.parametrize(("machine", "socket"), [("x86_64", 41), ("aarch64", 198)])
@given(family=st.integers(0, 50))
def test_a_socket_is_a_unix_socket(machine: str, socket: int, family: int) -> None:
    assert _verdict(machine, socket, family) == (ALLOW if family == 1 else REFUSED)


@pytest.mark.parametrize(("machine", "ioctl"), [("x86_64", 16), ("aarch64", 29)])
def test_nobody_types_into_a_terminal(machine: str, ioctl: int) -> None:
    assert _verdict(machine, ioctl, 0, 0x5412) == REFUSED
    assert _verdict(machine, ioctl, 0, 0x541C) == REFUSED
    assert _verdict(machine, ioctl, 0, 0x5401) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_clone3_and_io_uring_seem_not_to_exist(machine: str) -> None:
    assert [_verdict(machine, number) for number in (435, 425, 426, 427)] == [ABSENT] * 4


@given(architecture=st.integers(0, 2**32 - 1).filter(lambda value: value != 0xC000003E))
def test_another_architecture_is_killed(architecture: int) -> None:
    """The 32-bit calls of the same kernel have other numbers."""
    assert _verdict("x86_64", 0, architecture=architecture) == KILL


@given(number=st.integers(0x40000000, 2**32 - 1))
def test_the_x32_calls_seem_not_to_exist(number: int) -> None:
    assert _verdict("x86_64", number) == ABSENT


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [("x86_64", (0, 1, 2, 9, 39, 59, 202, 257)), ("aarch64", (56, 63, 64, 172, 221, 222))],
)
def test_everyday_calls_pass(machine: str, numbers: tuple[int, ...]) -> None:
    assert {_verdict(machine, number) for number in numbers} == {ALLOW}
