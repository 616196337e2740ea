"""What hostile code tries, and what must come of it: for `sandbox check` and for the tests.

Each prints ``held`` only where it was really refused; one that breaks otherwise does not pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tools.sandbox.sandbox import Execution, Limits, Outcome, Sandbox

LOOP_SECONDS = 0.7


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attempt: its code, and the rule that its execution has to satisfy."""

    name: str
    code: str
    holds: Callable[[Execution, Limits], bool]
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether an attack was held off here, and what it came to."""

    name: str
    holds: bool
    execution: Execution


async def assault(sandbox: Sandbox, attack: Attack, *, limits: Limits) -> Finding:
    """Run one attack."""
    execution = await sandbox.run(attack.code, timeout=attack.seconds)
    return Finding(name=attack.name, holds=attack.holds(execution, limits), execution=execution)


async def assault_session(sandbox: Sandbox, attack: Attack, *, limits: Limits) -> Finding:
    """Run one attack as a cell of a session of its own, which has to be of use afterwards."""
    session = await sandbox.create(files={"kept.txt": b"kept"})
    try:
        execution = await session.run(attack.code, timeout=attack.seconds)
        after = await session.run("import sys\nprint('af' + 'ter')")
        holds = attack.holds(execution, limits) and after.stdout == "after\n"
        return Finding(name=attack.name, holds=holds, execution=execution)
    finally:
        await session.close()


def held(execution: Execution, limits: Limits) -> bool:
    """The rule of most attacks: the code itself says that it was refused."""
    return execution.outcome is Outcome.FINISHED and execution.stdout == "held\n"


def _within_budget(execution: Execution, limits: Limits) -> bool:
    alive = re.fullmatch(r"(\d+) hold 200 MB each\n", execution.stdout)
    if alive is None:
        return execution.outcome is Outcome.OUT_OF_MEMORY
    return int(alive[1]) * 200_000_000 <= limits.memory_bytes


def _no_more_files(execution: Execution, limits: Limits) -> bool:
    return execution.outcome in {Outcome.OUT_OF_MEMORY, Outcome.TIMED_OUT}


def _no_harm(execution: Execution, limits: Limits) -> bool:
    return execution.outcome in {Outcome.FINISHED, Outcome.KILLED} and not execution.stdout


def _ended_as(outcome: Outcome) -> Callable[[Execution, Limits], bool]:
    return lambda execution, limits: execution.outcome is outcome


def _capped(execution: Execution, limits: Limits) -> bool:
    return (
        execution.output_truncated
        and len(execution.stdout.encode()) <= limits.output_bytes
        and execution.outcome in {Outcome.FINISHED, Outcome.TIMED_OUT}
    )


_REFUSALS = """
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == "aarch64"
passed = []
def refused(name, result):
    if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        passed.append(name)
def number(name, x86, aarch64, *arguments):
    refused(name, libc.syscall(aarch64 if arm else x86, *arguments))
"""
_VERDICT = "\nprint('held' if not passed else passed)\n"

ATTACKS: tuple[Attack, ...] = (
    Attack(
        name="fork bomb",
        code="""
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError:
    print("held")
""",
        holds=held,
    ),
    Attack(
        name="memory bomb in one process",
        code="hoard = []\nwhile True: hoard.append(b'x' * 10_000_000)",
        holds=_ended_as(Outcome.OUT_OF_MEMORY),
    ),
    Attack(
        name="memory bomb in many processes",
        code="""
import os, time
out, inward = os.pipe()
os.set_blocking(out, False)
growing, full = {}, set()
for number in range(8):
    child = os.fork()
    if child == 0:
        hoard = []
        for _ in range(20):
            hoard.append(b"x" * 10_000_000)
            time.sleep(0.01)
        os.write(inward, bytes([number]))
        time.sleep(60)
    growing[number] = child
while growing:
    time.sleep(0.02)
    try:
        for number in os.read(out, 8):
            full.add(growing.pop(number))
    except BlockingIOError:
        pass
    ended = os.waitpid(-1, os.WNOHANG)[0]
    growing = {number: child for number, child in growing.items() if child != ended}
    full.discard(ended)
print(f"{len(full)} hold 200 MB each")
""",
        holds=_within_budget,
    ),
    Attack(
        name="endless loop",
        code="while True: pass",
        holds=_ended_as(Outcome.TIMED_OUT),
        seconds=LOOP_SECONDS,
    ),
    Attack(
        name="endless loop that ignores signals",
        code="""
import signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
""",
        holds=_ended_as(Outcome.TIMED_OUT),
        seconds=LOOP_SECONDS,
    ),
    Attack(
        name="fill the disk",
        code="""
import errno, os
limit = 70_000_000
block = bytes(4_000_000)
for folder in (".", "/tmp", "/dev/shm"):
    total, full = 0, False
    for number in range(40):
        try:
            with open(f"{folder}/{number}", "wb") as file:
                file.write(block)
            total += len(block)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.ENOMEM)
            break
    for name in filter(str.isdigit, os.listdir(folder)):
        os.unlink(f"{folder}/{name}")
    if not full or total > limit:
        print(folder, total)
        break
else:
    print("held")
""",
        holds=held,
    ),
    Attack(
        name="fill the disk with empty files",
        code="""
import itertools, os
for folder in itertools.count():
    os.mkdir(f"{folder}")
    for number in range(10_000):
        os.mknod(f"{folder}/{number}")
""",
        holds=_no_more_files,
    ),
    Attack(
        name="write outside the work folder",
        code="""
import os
passed = []
for path in ("/x", "/usr/x", "/usr/lib/x", "/etc/x", "/dev/x", "/proc/sys/kernel/core_pattern",
             "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger"):
    try:
        open(path, "w").write("1")
        passed.append(path)
    except OSError:
        pass
print("held" if not passed else passed)
""",
        holds=held,
    ),
    Attack(
        name="reach the network",
        code="""
import socket
passed = []
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 38, 40):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind)
            passed.append((family, kind))
        except OSError:
            pass
for host in ("example.com", "localhost", "127.0.0.1", "169.254.169.254"):
    try:
        socket.create_connection((host, 80), timeout=1)
        passed.append(host)
    except OSError:
        pass
names = [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]]
passed += [name for name in names if name != "lo"]
a, b = socket.socketpair()
print("held" if not passed else passed)
""",
        holds=held,
    ),
    Attack(
        name="read the machine's files",
        code="""
import os
os.symlink("/etc/shadow", "link")
os.symlink("../../../../root", "up")
paths = ["/etc/shadow", "/etc/passwd", "/etc/hostname", "/root", "/home", "/var", "/srv", "/run",
         "/sys", "/usr/src", "/usr/local", "link", "up", "/proc/1/root/etc/shadow",
         "/proc/self/root/root", "/proc/1/cwd/root", "/proc/kcore"]
passed = []
for path in paths:
    try:
        passed.append((path, os.listdir(path) if os.path.isdir(path) else open(path).read(1)))
    except OSError:
        pass
print("held" if not passed else passed)
""",
        holds=held,
    ),
    Attack(
        name="see or end other processes",
        code="""
import os, signal
pids = [name for name in os.listdir("/proc") if name.isdigit()]
try:
    os.kill(1, signal.SIGKILL)
except OSError:
    pass
print("held" if len(pids) <= 3 and os.getppid() <= 2 else pids)
""",
        holds=held,
    ),
    Attack(
        name="read the server's environment",
        code="""
import glob, os
own = set('''HOME LANG LOGNAME PATH TMPDIR USER MALLOC_ARENA_MAX PWD LD_LIBRARY_PATH IPYTHONDIR
MPLBACKEND MPLCONFIGDIR OMP_NUM_THREADS OPENBLAS_NUM_THREADS HTTP_PROXY HTTPS_PROXY
http_proxy https_proxy SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE'''.split())
passed = set(os.environ) - own
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        names = {each.partition("=")[0] for each in open(path).read().split("\\0") if each}
    except OSError:
        continue
    passed |= names - own
print("held" if not passed else sorted(passed))
""",
        holds=held,
    ),
    Attack(
        name="keep descriptors of the server",
        code="""
import os
open_ones = [(fd, os.readlink(f"/proc/self/fd/{fd}")) for fd in range(3, 256)
             if os.path.lexists(f"/proc/self/fd/{fd}")]
if [name[:5] for _, name in open_ones] == ["pipe:", "pipe:"]:
    open_ones = []  # a kernel's own: what it is asked, and what it answers
try:
    others = [name for name in os.listdir("/proc/1/fd")
              if int(name) > 2 and os.readlink(f"/proc/1/fd/{name}")[:5] not in ("anon_", "pipe:")]
except OSError:
    others = []
print("held" if not open_ones and not others else (open_ones, others))
""",
        holds=held,
    ),
    Attack(
        name="write into every descriptor",
        code="""
import os, struct
forged = [b"\\xff" * 4096, struct.pack(">cI", b"O", 2**31), struct.pack(">cI", b"D", 2) + b"{}",
          b"D" * 100_000]
for fd in range(3, 2000):
    for frame in forged:
        try:
            os.set_blocking(fd, False)
            os.write(fd, frame)
        except OSError:
            break
""",
        holds=_no_harm,
    ),
    Attack(
        name="flood the output",
        code="import sys\nfor _ in range(200): sys.stdout.write('x' * 1_000_000)",
        holds=_capped,
    ),
    Attack(
        name="crash the interpreter",
        code="import ctypes; ctypes.string_at(0)",
        holds=_ended_as(Outcome.KILLED),
    ),
    Attack(
        name="gain privileges",
        code="""
import ctypes, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
wrong = [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
         if int(status[name], 16)]
if status["NoNewPrivs"] != "1" or os.getuid() == 0 or os.geteuid() == 0 or os.getgroups() == [0]:
    wrong.append((status["NoNewPrivs"], os.getuid(), os.getgroups()))
for change in (os.setuid, os.setgid):
    try:
        change(0)
        wrong.append(change.__name__)
    except OSError:
        pass
print("held" if not wrong else wrong)
""",
        holds=held,
    ),
    Attack(
        name="leave its namespaces",
        code=_REFUSALS
        + """
for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000):
    refused(f"unshare {flag:x}", libc.unshare(flag))
    number(f"clone {flag:x}", 56, 220, flag | 17, 0, 0, 0, 0)
refused("setns", libc.setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0))
refused("mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
refused("umount", libc.umount2(b"/proc", 2))
refused("chroot", libc.chroot(b"/tmp"))
number("clone3", 435, 435, 0, 0)
number("fsopen", 430, 430, b"tmpfs", 0)
number("pivot_root", 155, 41, b".", b".")
"""
        + _VERDICT,
        holds=held,
    ),
    Attack(
        name="reach the kernel's edges",
        code=_REFUSALS
        + """
refused("ptrace", libc.ptrace(16, 1, 0, 0))
number("keyctl", 250, 219, 0, -3, 0)
number("bpf", 321, 280, 0, 0, 0)
number("perf_event_open", 298, 241, 0, 0, -1, -1, 0)
number("userfaultfd", 323, 282, 0)
number("io_uring_setup", 425, 425, 4, 0)
number("memfd_create", 319, 279, b"x", 0)
number("process_vm_readv", 310, 270, 1, 0, 0, 0, 0, 0)
number("open_by_handle_at", 304, 265, -1, 0, 0)
number("personality", 135, 92, 0x0040000)
number("init_module", 175, 105, 0, 0, 0)
number("syslog", 103, 116, 3, 0, 0)
number("shmget", 29, 194, 0, 4096, 0o1600)
if not arm:
    number("x32 getpid", 0x40000000 | 39, 0)
"""
        + _VERDICT,
        holds=held,
    ),
)
